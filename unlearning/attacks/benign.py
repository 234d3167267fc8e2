"""Does harmless fine-tuning bring the secrets back? Everybody who serves a model does it sooner or later."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import torch

from domain.errors import Code, RequestRejected
from domain.outcomes import AttackResult
from unlearning.attacks.asking import require_text
from unlearning.attacks.changed import asked_again
from unlearning.attacks.groups import require_groups
from unlearning.batches import endless
from unlearning.encoding import Encoded
from unlearning.fine_tuning import fine_tuned
from unlearning.scoring import Target


@dataclass(frozen=True)
class Benign:
    """A few steps of training on other people's passages and ordinary text, none of it the person's.

    A model that never saw the person does not move; one that only hides what it knows goes back (reference
    measurement: exposure 4.8 to 7.0 of 7 bits after 20 steps on retained text, a retrained model .85 to .84).

    Attributes:
        steps, rate, batch: of Adam, dropout off.
    """

    steps: int = 20
    rate: float = 1e-4
    batch: int = 16

    def __post_init__(self) -> None:
        if min(self.steps, self.batch) < 1 or self.rate <= 0:
            raise ValueError("training needs steps, a batch and a rate above 0")

    def run(
        self, target: Target, members: Sequence[Encoded], controls: Sequence[Encoded]
    ) -> AttackResult:
        """What is given away after the training; raises `RequestRejected` without text to train on."""
        require_groups(members, controls)
        require_text(target.model, "benign")
        rows = [*target.neighbours, *target.ordinary]
        if not rows:
            raise RequestRejected(
                Code.ATTACK_INAPPLICABLE,
                place="attack benign",
                remedy="there is no retained text to train on; give other people's passages or ordinary text.",
            )
        generator = torch.Generator().manual_seed(target.seed)
        with target.model.evaluating():
            batches = islice(endless(rows, self.batch, generator), self.steps)
            changed = fine_tuned(target.model, batches, self.rate, target.seed)
            return AttackResult("benign", asked_again(changed, members, controls, "after_benign"))
