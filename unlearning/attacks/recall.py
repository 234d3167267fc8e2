"""How much less likely does the text become behind text that the model never saw?"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from domain.errors import Code, RequestRejected
from domain.outcomes import AttackResult
from unlearning.attacks.groups import apart, require_floor, require_groups
from unlearning.attacks.membership import compared
from unlearning.attacks.reference import losses
from unlearning.encoding import Encoded
from unlearning.models import Kind, LanguageModel
from unlearning.scoring import Target, log_probabilities

_LEAST_LOSS = 1e-6  # nats; below it a ratio says nothing


@dataclass(frozen=True)
class ReCaLL:
    """Relative conditional log-likelihood: LL(x | prefix) / LL(x), the prefix never seen (Xie et al. 2024).

    LL is the mean log-probability of the passage's tokens, so the ratio is loss behind the prefix over loss without it.
    It is high for members, which lose most of what they had; `recall` is minus the ratio, low for "seen in training".
    The prefix are strangers' passages in an order drawn by the seed, the same for all; a stranger's own are left out.
    It stands between the start token and the passage, and its far end is cut where it would not fit into the context; a
    passage that fills the context has no score. A seq2seq model reads its source as ever and has said the prefix before
    the answer. Masked models and classifiers say nothing before the passage, and are refused.

    Attributes:
        shots: passages in the prefix.
    """

    shots: int = 5

    def __post_init__(self) -> None:
        require_floor(self, shots=1)

    def run(
        self, target: Target, members: Sequence[Encoded], controls: Sequence[Encoded]
    ) -> AttackResult:
        """AUC of the ratio. Raises `RequestRejected` for a model that does not say text, or without a prefix."""
        require_groups(members, controls)
        if target.model.kind not in {Kind.CAUSAL, Kind.SEQ2SEQ}:
            raise _inapplicable(f"it is a {target.model.kind} model; leave the attack out.")
        members, controls = apart(members, controls)
        prefix = list(controls)
        random.Random(target.seed).shuffle(prefix)
        ours = self.measure(target, members, prefix)
        theirs = self.measure(target, controls, prefix)
        if not any(ours) or not any(theirs):
            raise _inapplicable(
                "no room is left in the context before the passages, or there is only one stranger; shorten the "
                "passages or add strangers, or leave the attack out."
            )
        return AttackResult("recall", compared(ours, theirs, controls, "recall_stands_out"))

    def measure(
        self, target: Target, rows: Sequence[Encoded], strangers: Sequence[Encoded]
    ) -> list[Mapping[str, float]]:
        """The score of each row, empty for a row that nothing can be put before."""
        joined = [self.behind(target.model, row, strangers) for row in rows]
        with target.model.evaluating():
            scored = iter(log_probabilities(target.model, [text for text in joined if text]))
        found: list[Mapping[str, float]] = []
        for row, loss, text in zip(rows, losses(target, rows), joined, strict=True):
            if text is None:
                found.append({})
                continue
            log_p = next(scored)[-(len(row) - 1) :]  # the passage without its start
            found.append({"recall": float(log_p.mean()) / max(loss, _LEAST_LOSS)})
        return found

    def behind(
        self, model: LanguageModel, row: Encoded, strangers: Sequence[Encoded]
    ) -> Encoded | None:
        """The passage behind its prefix; None when there is no prefix, or no room for one."""
        others = [other for other in strangers if other.person != row.person][: self.shots]
        prefix = [token for other in others for token in other.ids[1:]]
        room = model.context - len(row)
        if room < 1 or not prefix or len(row) < 2:
            return None
        ids = (row.ids[0], *prefix[-room:], *row.ids[1:])
        return replace(row, ids=ids, sensitive=(False,) * len(ids), spans=())


def _inapplicable(remedy: str) -> RequestRejected:
    return RequestRejected(Code.ATTACK_INAPPLICABLE, place="attack recall", remedy=remedy)
