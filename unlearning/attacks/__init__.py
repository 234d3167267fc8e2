"""What an attacker would try. One file each; `ATTACKS` is the list of them.

An attack takes the knobs in its constructor and has one verb,
`run(target, members, controls) -> AttackResult`. It leaves weights, mode, gradients and random state as it found them
and always measures the control group as well. Scores keep one sign: higher extraction, memorisation and exposure, and
an AUC further above 0.5, mean that more of the person is left.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from domain.outcomes import AttackResult
from unlearning.attacks.exposure import Exposure
from unlearning.attacks.extraction import Extraction
from unlearning.attacks.membership import Membership
from unlearning.attacks.memorisation import Memorisation
from unlearning.encoding import Encoded
from unlearning.scoring import Target


class Attack(Protocol):
    """One attack."""

    def run(
        self, target: Target, members: Sequence[Encoded], controls: Sequence[Encoded]
    ) -> AttackResult:
        """Attack the model with the person's passages and with those of people it never saw."""
        ...


ATTACKS: Mapping[str, type[Attack]] = {
    "extraction": Extraction,
    "memorisation": Memorisation,
    "exposure": Exposure,
    "membership": Membership,
}
