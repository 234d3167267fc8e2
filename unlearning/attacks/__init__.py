"""What an attacker would try. One file each; `ATTACKS` is the list of them.

An attack takes the knobs in its constructor and has one verb,
`run(target, members, controls) -> AttackResult`. It leaves weights, mode, gradients and random state as it found them
and always measures the control group as well. Where it does not apply (a masked model, no reference models) it raises
`RequestRejected` (ATTACK_INAPPLICABLE) and never returns a number. Scores keep one sign: higher extraction,
memorisation and exposure, and an AUC further above 0.5, mean that more of the person is left.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from domain.outcomes import AttackResult
from unlearning.attacks.benign import Benign
from unlearning.attacks.discoverable import Discoverable
from unlearning.attacks.exposure import Exposure
from unlearning.attacks.extraction import Extraction
from unlearning.attacks.gradnorm import GradNorm
from unlearning.attacks.lens import LogitLens
from unlearning.attacks.membership import Membership
from unlearning.attacks.memorisation import Memorisation
from unlearning.attacks.neighbourhood import Neighbourhood
from unlearning.attacks.patching import Patching
from unlearning.attacks.prompts import Prompts
from unlearning.attacks.quantisation import Quantisation
from unlearning.attacks.recall import ReCaLL
from unlearning.attacks.reference import Reference
from unlearning.attacks.relearning import Relearning
from unlearning.attacks.reworded import Reworded
from unlearning.attacks.sampled import Sampled
from unlearning.attacks.strength import Strength
from unlearning.attacks.suffix import Suffix
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
    "strength": Strength,
    "discoverable": Discoverable,
    "sampled": Sampled,
    "prompts": Prompts,
    "reworded": Reworded,
    "membership": Membership,
    "reference": Reference,
    "neighbourhood": Neighbourhood,
    "gradnorm": GradNorm,
    "recall": ReCaLL,
    "benign": Benign,
    "relearning": Relearning,
    "quantisation": Quantisation,
    "suffix": Suffix,
    "lens": LogitLens,
    "patching": Patching,
}
