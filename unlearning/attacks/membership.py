"""Can one tell from the model's scores that this person was in the training data?"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import torch

from domain.outcomes import AttackResult, Estimate, Rule, Score
from domain.records import Passage
from domain.secrecy import Secret
from unlearning.attacks.groups import apart, require_groups
from unlearning.attacks.outliers import stands_out
from unlearning.encoding import Encoded, encode
from unlearning.scoring import Target, TokenScores, log_probabilities
from unlearning.statistics import auc, mean, tpr

Scores = Mapping[str, float]


@dataclass(frozen=True)
class Membership:
    """Membership by loss, zlib, lowercase, Min-K% and Min-K%++, over passages; low scores mean "seen in training".

    loss = mean nll over predicted tokens (Yeom et al. 2018); zlib = loss over the compressed length of the text in
    bytes, lowercase = loss over the loss of the text in lower case (both Carlini et al. 2021); Min-K% = minus the mean
    of the k % lowest log-probabilities (Shi et al. 2024); Min-K%++ = the same of (log p - mean) / deviation over the
    vocabulary (Zhang et al. 2024). `secret_loss` is the loss over the secrets alone, where the person and a stranger
    differ most. `contrast` is the AUC: 0.5 cannot tell them apart, 1 knows the person, 0 has been pushed past
    never-seen text, which gives a person away as well. `stands_out` takes all of them together, person by person. The
    true-positive rate at 1 % and 0.1 % false positives is added where the strangers' passages are enough for it.

    Attributes:
        k: share of the lowest-scoring tokens, as in the papers.
        drop_last: leave the last token out of Min-K% and Min-K%++, as open-unlearning does and MIMIR and MUSE do not.
    """

    k: float = 0.2
    drop_last: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.k <= 1:
            raise ValueError("k is a share of the tokens, above 0")

    def run(
        self, target: Target, members: Sequence[Encoded], controls: Sequence[Encoded]
    ) -> AttackResult:
        """AUC of each score between the person's passages and those of people the model never saw."""
        require_groups(members, controls)
        members, controls = apart(members, controls)
        with target.model.evaluating():
            ours, theirs = self.measure(target, members), self.measure(target, controls)
        return AttackResult("membership", compared(ours, theirs, controls, "stands_out"))

    def measure(self, target: Target, rows: Sequence[Encoded]) -> list[Scores]:
        """The scores of each row, by name."""
        lowered = [encode(target.model, [_lowered(row)]) for row in rows]
        smaller = iter(log_probabilities(target.model, [w for windows in lowered for w in windows]))
        found: list[Scores] = []
        for row, scores, windows in zip(rows, target.scores(rows), lowered, strict=True):
            small = torch.cat([next(smaller) for _ in windows])
            values = self.scores(row, scores)
            lower = max(1e-9, -float(small[~small.isnan()].mean()))  # never 0 but for rounding
            values["lowercase"] = values["loss"] / lower
            found.append(values)
        return found

    def scores(self, row: Encoded, scores: TokenScores) -> dict[str, float]:
        """Those scores of one passage that one pass over it gives."""
        known = ~scores.log_probability.isnan()
        log_p = scores.log_probability[known]
        z = (log_p - scores.mean[known]) / scores.deviation[known]
        loss = float(-log_p.mean())
        found = {
            "loss": loss,
            "zlib": loss / len(zlib.compress(row.text.encode())),
        }
        if len(log_p) > self.drop_last:
            found |= {"mink": self._lowest(log_p), "minkpp": self._lowest(z)}
        secret = [t for t, flag in enumerate(row.sensitive) if flag and bool(known[t])]
        if secret:
            found["secret_loss"] = float(-scores.log_probability[secret].mean())
        return found

    def _lowest(self, values: torch.Tensor) -> float:
        """Minus the mean of the k % lowest values."""
        used = values[:-1] if self.drop_last else values
        return float(-used.sort().values[: max(1, int(self.k * len(used)))].mean())


def compared(
    ours: Sequence[Scores], theirs: Sequence[Scores], controls: Sequence[Encoded], together: str
) -> tuple[Score, ...]:
    """Scores of single passages as results: all together person by person, then the AUC of each.

    The intervals of the AUCs hold together (Bonferroni): m scores of one attack have 1 - 0.05 / m each.
    `controls` are the rows that `theirs` belong to; `together` names the score of all together. Low scores mean "seen
    in training". Any membership attack whose scores are one number a passage can report with it.
    """
    names = dict.fromkeys(name for row in ours for name in row)
    people: dict[str, list[Scores]] = {}
    for row, values in zip(controls, theirs, strict=True):
        people.setdefault(row.person, []).append(values)
    strangers = [_averages(values) for values in people.values()]
    singles, rare = [], []
    for name in names:
        mine, others = _column(ours, name), _column(theirs, name)
        if not mine or not others:
            continue
        area = auc(mine, others, 1 - 0.05 / len(names))
        singles.append(Score(name, "passages", mean(mine), mean(others), area, rule=Rule.CONTRAST))
        for share, label in ((0.01, "1_percent"), (0.001, "0_1_percent")):
            if (found := tpr(mine, others, share)) is not None:
                chance = Estimate(share, share, share, len(others))
                rare.append(Score(f"{name}_tpr_at_{label}", "passages", found, chance))
    return (*stands_out(_averages(ours), strangers, together), *singles, *rare)


def _column(rows: Sequence[Scores], name: str) -> list[float]:
    return [row[name] for row in rows if name in row]


def _averages(rows: Sequence[Scores]) -> Scores:
    """One person's mean of each score."""
    return {n: fmean(_column(rows, n)) for n in dict.fromkeys(n for row in rows for n in row)}


def _lowered(row: Encoded) -> Passage:
    read, said = row.text[: row.answer].lower(), row.text[row.answer :].lower()
    label = row.ids[0]  # where the model is a classifier
    return Passage("", Secret(read + said), (), row.person, answer=len(read), label=label)
