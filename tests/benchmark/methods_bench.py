"""What the bench of methods asks of a world: a model, whom it is to forget, who else is asked, how to train again."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from unlearning.encoding import Encoded
from unlearning.latent import LatentAttack
from unlearning.models import LanguageModel
from unlearning.trial import Trial

RATE = 3e-4
LATENT = LatentAttack(layer=0, steps=6, radius=0.1)


def push_options(attack: LatentAttack) -> dict[str, float]:
    """The options with which `adversarial` trains against this attack."""
    return {"layer": attack.layer, "inner_steps": attack.steps, "radius": attack.radius}


@dataclass(frozen=True)
class Bench:
    """A world made ready for one model.

    Attributes:
        model: knows everybody by heart.
        trial: what methods get, and whom they are judged by.
        asked: the forgotten people's passages by form, secrets with candidates; the form that methods see comes first.
        others: passages in all forms of people who are in no loss, secrets with candidates.
        unread: passages in all forms of people of the same making whom no model has read.
        retrained: control of that number: trained like the model without the forgotten, from other first weights.
        rate, harder: learning rates of ordinary training on the results, and of the harder relearning.
        latent: the push that relations try on the results.
        lies: where that lies which a row's options `shards` and `key` name; made when it is first asked for.
        controls: how many retrained models stand behind the range.
    """

    model: LanguageModel
    trial: Trial
    asked: Mapping[str, tuple[Encoded, ...]]
    others: tuple[Encoded, ...]
    unread: tuple[Encoded, ...]
    retrained: Callable[[int], LanguageModel]
    rate: float = RATE
    harder: float = 1e-3
    latent: LatentAttack = LATENT
    lies: Callable[[str], str] = str
    controls: int = 2

    @property
    def learnt(self) -> tuple[Encoded, ...]:
        """The forgotten people's passages in the form that methods see."""
        return next(iter(self.asked.values()))
