"""Ask again after the model was changed as an owner or an attacker may change it: is what was hidden back?

A change is made to a copy. What comes back must not exceed what the same change gives away about strangers, who go
through it alongside the person: with enough freedom every model "recovers" text it never saw.
"""

from collections.abc import Sequence
from dataclasses import replace

from domain.outcomes import Rule, Score
from unlearning.attacks.exposure import Exposure
from unlearning.attacks.extraction import Extraction
from unlearning.encoding import Encoded
from unlearning.models import LanguageModel
from unlearning.scoring import Target

MOST = 31


def asked_again(
    model: LanguageModel,
    members: Sequence[Encoded],
    controls: Sequence[Encoded],
    after: str,
    tail: float = 0.05,
) -> tuple[Score, ...]:
    """Exposure, first ranks and extraction of a changed model; `after` is put behind the metrics' names.

    Exposure is among `MOST` candidates: a secret that is back ranks first among few as among many. Only what is judged
    is given; last ranks are no sign of what is back.
    """
    target = Target(model)
    results = (
        Exposure(most=MOST, tail=tail).run(target, members, controls),
        Extraction((0,)).run(target, members, controls),
    )
    return tuple(
        replace(score, metric=f"{score.metric}_{after}")
        for result in results
        for score in result.scores
        if score.rule is not Rule.SHOWN and score.metric != "ranked_last"
    )
