"""How far would one step on the text move the weights? A text learnt by heart moves them little."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from domain.errors import Code, RequestRejected
from domain.outcomes import AttackResult
from unlearning.attacks.groups import apart, require_groups
from unlearning.attacks.membership import Scores, compared
from unlearning.batches import batch_of
from unlearning.encoding import Encoded
from unlearning.losses import token_nll
from unlearning.models import Kind, LanguageModel
from unlearning.scoring import Target


@dataclass(frozen=True)
class GradNorm:
    """Norm of the gradient of a passage's mean nll; low means "seen in training" (Wang et al. 2024, 2402.17012).

    A gradient needs a pass of its own, one forward and one backward for each passage. Dropout is off, the weights that
    were frozen are looked at too, and `grad` is never written to. A masked model has no one loss of a text, so for such
    a model the attack is refused.

    Attributes:
        by_tensor: mean over the weight tensors of each one's 2-norm, as in open-unlearning (and, negated, in MIMIR)
            instead of the 2-norm of all weights together.
        drop_last: leave the last token out of the loss, as open-unlearning does.
    """

    by_tensor: bool = False
    drop_last: bool = False

    def run(
        self, target: Target, members: Sequence[Encoded], controls: Sequence[Encoded]
    ) -> AttackResult:
        """AUC of the norm. Raises `RequestRejected` for a masked model."""
        require_groups(members, controls)
        if target.model.masked:
            raise RequestRejected(
                Code.ATTACK_INAPPLICABLE,
                place="attack gradnorm",
                remedy="the model is a masked one, which has no one loss of a text; leave the attack out.",
            )
        members, controls = apart(members, controls)
        with target.model.evaluating(), _trainable(target.model) as weights:
            target.scores([*members, *controls])  # known already; refuses a model that says NaN
            ours, theirs = (self._measure(target.model, g, weights) for g in (members, controls))
        return AttackResult("gradnorm", compared(ours, theirs, controls, "gradnorm_stands_out"))

    def _measure(
        self, model: LanguageModel, rows: Sequence[Encoded], weights: Sequence[torch.nn.Parameter]
    ) -> list[Scores]:
        least = 2 if self.drop_last else 1
        predicted = [len(row) - (model.kind is not Kind.CLASSIFIER) for row in rows]
        return [
            {"gradnorm": self.norm(model, row, weights)} if count >= least else {}
            for row, count in zip(rows, predicted, strict=True)
        ]

    def norm(
        self, model: LanguageModel, row: Encoded, weights: Sequence[torch.nn.Parameter]
    ) -> float:
        """The norm for one passage of at least one predicted token that counts."""
        batch = batch_of(model, [row], torch.Generator())
        with torch.enable_grad():
            nll = token_nll(batch.logits(model), batch.labels)  # (1, P)
            loss = (nll[:, :-1] if self.drop_last else nll).mean()
            found = torch.autograd.grad(loss, weights, allow_unused=True)
        norms = torch.stack([g.detach().float().norm() for g in found if g is not None])
        return float(norms.mean() if self.by_tensor else norms.norm())


@contextmanager
def _trainable(model: LanguageModel) -> Iterator[list[torch.nn.Parameter]]:
    """All weights that can have a gradient, not frozen inside; as they were afterwards."""
    weights = [p for p in model.network.parameters() if p.is_floating_point()]
    frozen = [p for p in weights if not p.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(True)
    try:
        yield weights
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)
