"""Does the model know the text better than models that never saw the person?"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import torch

from domain.errors import Code, RequestRejected
from domain.outcomes import AttackResult
from unlearning.attacks.groups import apart, require_floor, require_groups
from unlearning.attacks.membership import compared
from unlearning.encoding import Encoded
from unlearning.models import LanguageModel, same_answers
from unlearning.scoring import Target, log_probabilities

_TINY, _LEAST_DEVIATION = 1e-45, 1e-30  # as in TF-Privacy


@dataclass(frozen=True)
class Reference:
    """Loss difference, RMIA and offline LiRA against `target.references`; low scores mean "seen in training".

    With p = exp(mean log-probability per predicted token), and "out" for the reference models:

    - `difference` = loss - mean over out of their loss, as in MIMIR and open-unlearning.
    - `rmia` = minus the share of population passages z with r(x) / r(z) > gamma, where r = p / ((1 + a)/2 mean_out p +
      (1 - a)/2) (Zarifzadeh et al. 2024, offline). The population are the strangers' passages; a stranger is
      compared with the other strangers alone. Negated: the paper's share is high for members.
    - `lira` = minus (f - mean_out f) / deviation_out, f = log p - log(1 - p) (Carlini et al. 2022, offline: 1 minus the
      normal tail beyond f, which is in the same order but ends at 1). It needs two references.

    For masked models p is the pseudo-likelihood, of both. Each reference reads every passage once.

    Attributes:
        a: how far a reference's p is from that of a model that saw x; 1 takes it for the same.
        gamma: by what factor x must beat z.
        alone_from: with fewer references all passages share one deviation, as in LeakPro.
        density: `lira` is the log-density of f under "out", as in TF-Privacy: low on either side.
    """

    a: float = 0.3
    gamma: float = 1.0
    alone_from: int = 32
    density: bool = False

    def __post_init__(self) -> None:
        require_floor(self, a=0, gamma=0, alone_from=0)

    def run(
        self, target: Target, members: Sequence[Encoded], controls: Sequence[Encoded]
    ) -> AttackResult:
        """AUC of each score. Raises `RequestRejected` without references that read the same tokens."""
        require_groups(members, controls)
        _require_references(target)
        members, controls = apart(members, controls)
        scores = self.measure(target, members, controls)
        ours, theirs = scores[: len(members)], scores[len(members) :]
        return AttackResult("reference", compared(ours, theirs, controls, "reference_stands_out"))

    def measure(
        self, target: Target, members: Sequence[Encoded], controls: Sequence[Encoded]
    ) -> list[Mapping[str, float]]:
        """The scores of each row, by name, the members' first."""
        rows = [*members, *controls]
        own = losses(target, rows)
        others = [losses_alone(reference, rows) for reference in target.references]
        outs = list(zip(*others, strict=True))  # per row, the loss of each reference
        ratios = [self.ratio(loss, out) for loss, out in zip(own, outs, strict=True)]
        lira = self.deviations(own, outs)
        found: list[Mapping[str, float]] = []
        for n, row in enumerate(rows):
            values = {"difference": own[n] - fmean(outs[n])}
            population = [
                ratio
                for other, ratio in zip(controls, ratios[len(members) :], strict=True)
                if other.person != row.person
            ]
            if population:
                values["rmia"] = -self.share(ratios[n], population)
            if lira:
                values["lira"] = lira[n]
            found.append(values)
        return found

    def ratio(self, loss: float, outs: Sequence[float]) -> float:
        """p over what a model that may or may not have seen the text would give it."""
        out = fmean(math.exp(-other) for other in outs)
        return math.exp(-loss) / ((1 + self.a) / 2 * out + (1 - self.a) / 2)

    def share(self, ratio: float, population: Sequence[float]) -> float:
        """Share of the population that `ratio` beats by `gamma`."""
        return fmean(ratio > self.gamma * z for z in population)  # z may be 0 by rounding

    def deviations(self, losses: Sequence[float], outs: Sequence[Sequence[float]]) -> list[float]:
        """`lira` of each passage; empty when the references are one, or all alike."""
        logits = [[_logit(loss) for loss in out] for out in outs]
        middles = [fmean(out) for out in logits]
        squares = [fmean((f - m) ** 2 for f in out) for out, m in zip(logits, middles, strict=True)]
        if not any(squares):
            return []
        if len(outs[0]) < self.alone_from:
            squares = [fmean(squares)] * len(squares)
        spreads = [math.sqrt(square) + _LEAST_DEVIATION for square in squares]
        z = [
            (_logit(loss) - m) / spread
            for loss, m, spread in zip(losses, middles, spreads, strict=True)
        ]
        if not self.density:
            return [-one for one in z]
        return [
            -one * one / 2 - math.log(spread * math.sqrt(2 * math.pi))
            for one, spread in zip(z, spreads, strict=True)
        ]


def losses(target: Target, rows: Sequence[Encoded]) -> list[float]:
    """Mean nll of each row's predicted tokens, in nats."""
    with target.model.evaluating():
        return [_loss(scores.log_probability) for scores in target.scores(rows)]


def losses_alone(model: LanguageModel, rows: Sequence[Encoded]) -> list[float]:
    """`losses` of a model, or of texts, of which nothing else is asked."""
    with model.evaluating():
        return [_loss(log_p) for log_p in log_probabilities(model, rows)]


def _loss(log_p: torch.Tensor) -> float:
    return -float(log_p[~log_p.isnan()].mean())


def _logit(loss: float) -> float:
    return -loss - math.log(-math.expm1(-loss) + _TINY)


def _require_references(target: Target) -> None:
    fit = [same_answers(reference, target.model) for reference in target.references]
    if not fit or not all(fit):
        raise RequestRejected(
            Code.ATTACK_INAPPLICABLE,
            place="attack reference",
            remedy="it needs models of the same kind and vocabulary that never saw the person; name such models, or "
            "leave the attack out.",
        )
