"""Shown part of what it forgot, does the model remember the rest faster than it learns about a stranger?"""

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
class Relearning:
    """Train on part of the person's passages, and on the same part of every stranger's; ask for the rest.

    The strangers' passages are the person's with other facts, and they are learnt in the same steps, so that what they
    gain is what anybody gains; savings beyond it were in the model all along. The rest may repeat facts of the part
    that was shown; it does so for the strangers too.

    Attributes:
        share: share of the passages that is shown, at least one and never all.
        steps, rate, batch: of Adam, dropout off.
    """

    share: float = 0.5
    steps: int = 20
    rate: float = 1e-4
    batch: int = 16

    def __post_init__(self) -> None:
        if min(self.steps, self.batch) < 1 or self.rate <= 0 or not 0 < self.share < 1:
            raise ValueError(
                "training needs steps, a batch and a rate above 0, and a share below 1"
            )

    def run(
        self, target: Target, members: Sequence[Encoded], controls: Sequence[Encoded]
    ) -> AttackResult:
        """What is given away of the rest; raises `RequestRejected` when the person has fewer than two passages."""
        require_groups(members, controls)
        require_text(target.model, "relearning")
        mine, theirs = _by_person(members), _by_person(controls)
        shown: list[Encoded] = []
        kept: tuple[list[Encoded], list[Encoded]] = ([], [])
        for side, people in zip(kept, (mine, theirs), strict=True):
            for rows in people.values():
                if len(rows) < 2:
                    raise RequestRejected(
                        Code.ATTACK_INAPPLICABLE,
                        place="attack relearning",
                        remedy="it needs two passages with secrets, one to show and one to ask for; leave it out.",
                    )
                cut = min(len(rows) - 1, max(1, round(self.share * len(rows))))
                shown += rows[:cut]
                side.extend(rows[cut:])
        generator = torch.Generator().manual_seed(target.seed)
        with target.model.evaluating():
            batches = islice(endless(shown, self.batch, generator), self.steps)
            changed = fine_tuned(target.model, batches, self.rate, target.seed)
            scores = asked_again(changed, *kept, "after_relearning")
            return AttackResult("relearning", scores)


def _by_person(rows: Sequence[Encoded]) -> dict[str, list[Encoded]]:
    """Passages with secrets, by person, in the order given."""
    people: dict[str, list[Encoded]] = {}
    for row in rows:
        if row.spans:
            people.setdefault(row.person, []).append(row)
    return people
