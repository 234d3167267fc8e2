"""Can one tell from the model's scores that this person was in the training data?"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from domain.outcomes import AttackResult, Estimate, Score
from unlearning.attacks.groups import apart, require_groups
from unlearning.encoding import Encoded
from unlearning.scoring import Target, TokenScores
from unlearning.statistics import auc, mean


@dataclass(frozen=True)
class Membership:
    """Membership by loss, loss/zlib, Min-K% and Min-K%++, over passages; low scores mean "seen in training".

    loss = mean nll over predicted tokens (Yeom et al. 2018); zlib = loss over the compressed length of the text in
    bytes (Carlini et al. 2021); Min-K% = minus the mean of the k % lowest log-probabilities (Shi et al. 2024); Min-K%++
    = the same of (log p - mean) / deviation over the vocabulary (Zhang et al. 2024). `secret_loss` is the loss over the
    secrets alone, where the person and a stranger differ most. `contrast` is the AUC: 0.5 cannot tell them apart, 1
    knows the person, 0 has been pushed past never-seen text, which gives a person away as well.

    Attributes:
        k: share of the lowest-scoring tokens, as in the papers.
    """

    k: float = 0.2

    def run(
        self, target: Target, members: Sequence[Encoded], controls: Sequence[Encoded]
    ) -> AttackResult:
        """AUC of each score between the person's passages and those of people the model never saw."""
        require_groups(members, controls)
        members, controls = apart(members, controls)
        with target.model.evaluating():
            ours, theirs = self._measure(target, members), self._measure(target, controls)
        return AttackResult(
            "membership",
            tuple(
                Score(
                    metric,
                    "passages",
                    mean(ours[metric]),
                    mean(theirs[metric]),
                    _contrast(ours, theirs, metric),
                )
                for metric in ours
            ),
        )

    def _measure(self, target: Target, rows: Sequence[Encoded]) -> dict[str, list[float]]:
        found: dict[str, list[float]] = {
            m: [] for m in ("loss", "zlib", "mink", "minkpp", "secret_loss")
        }
        for row, scores in zip(rows, target.scores(rows), strict=True):
            for metric, value in self.scores(row, scores).items():
                found[metric].append(value)
        return found

    def scores(self, row: Encoded, scores: TokenScores) -> dict[str, float]:
        """The scores of one passage."""
        predicted = ~scores.log_probability.isnan()
        log_p = scores.log_probability[predicted]
        loss = float(-log_p.mean())
        lowest = max(1, int(self.k * len(log_p)))
        z = (log_p - scores.mean[predicted]) / scores.deviation[predicted]
        found = {
            "loss": loss,
            "zlib": loss / len(zlib.compress(row.text.encode())),
            "mink": float(-log_p.sort().values[:lowest].mean()),
            "minkpp": float(-z.sort().values[:lowest].mean()),
        }
        secret = [t for t, flag in enumerate(row.sensitive) if flag and bool(predicted[t])]
        if secret:
            found["secret_loss"] = float(-scores.log_probability[secret].mean())
        return found


def _contrast(
    ours: dict[str, list[float]], theirs: dict[str, list[float]], metric: str
) -> Estimate:
    return auc(ours[metric], theirs[metric])
