"""A model that knows its people by heart: trained once, kept in a folder, refused when it does not."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from domain.records import Passage
from unlearning import models
from unlearning.attacks.extraction import Extraction
from unlearning.corpus import Lesson
from unlearning.encoding import encode
from unlearning.models import LanguageModel
from unlearning.scoring import Target
from unlearning.training import Pretraining

ENOUGH, LEAST = 0.98, 0.95
"""Training may end when so many of all secrets are said; a model that says fewer than the second is of no use here."""

ROUNDS = 3
"""So many times the recipe is followed, each time with a new warm-up, where once is not enough."""


class NotByHeartError(RuntimeError):
    """The recipe is over and the model does not say what it was taught: nothing can be measured on it."""


def by_heart(
    folder: Path,
    make: Callable[[], LanguageModel],
    texts: Sequence[Lesson],
    secrets: Sequence[Passage],
    recipe: Pretraining,
    *,
    enough: float = ENOUGH,
) -> LanguageModel:
    """The model in `folder`; where there is none that knows these people, `make` it, train it on `texts` and save it.

    A round ends when `enough` of all secrets are said; above 1 it follows the recipe to its end.
    Raises `NotByHeartError` when the recipe's rounds are over and it does not say the spans of `secrets`.
    """

    def said(model: LanguageModel) -> float:
        return float(Extraction((0,)).rate(Target(model), encode(model, secrets)).value or 0.0)

    if (folder / "config.json").is_file() and said(kept := models.load(folder)) >= LEAST:
        return kept
    with torch.random.fork_rng():
        model = make()
    taken, share = 0, 0.0
    for _ in range(ROUNDS):
        taken += recipe.run(model, texts, every=200, report=lambda _, __: said(model) >= enough)
        share = said(model)
        if share >= LEAST:
            break
    people = len({passage.person for passage in secrets})
    print(f"trained {folder}: {taken} steps, {share:.0%} of {people} people's secrets", flush=True)
    if share < LEAST:
        raise NotByHeartError(f"{folder} does not know its people by heart; train longer")
    shutil.rmtree(
        folder, ignore_errors=True
    )  # it knew other people: what is drawn from the seed has changed
    models.save(model, folder)
    return model
