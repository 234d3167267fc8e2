"""What the rows of `sisa` share, on whatever people: a base and its shards of adapters, trained once and kept."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from unlearning import models, sharded
from unlearning.assignment import Key, Source
from unlearning.manifest import MODEL
from unlearning.models import LanguageModel
from unlearning.recipe import Recipe

VICTIM = "shards"
BASE, TRAINED, KEY = "base", "trained", "key"
"""Where they lie in the folder of a world."""
OWN = Key(b"made up, like the people who are")


def deployed(
    folder: Path, base: LanguageModel, sources: Sequence[Source], recipe: Recipe
) -> LanguageModel:
    """The base with the mean of its shards' deltas; base and shards are written where they are not there yet."""
    if not (folder / BASE).is_dir():
        models.save(base, folder / BASE)
    if not (folder / TRAINED).is_dir():
        (folder / KEY).write_text(OWN.value.hex())
        (folder / KEY).chmod(0o600)
        made, model, _ = sharded.train(base, str(folder / BASE), sources, recipe=recipe, key=OWN)
        made.write(folder / TRAINED, model)
    return models.load(folder / TRAINED / MODEL)


def controls(
    base: LanguageModel, sources: Sequence[Source], recipe: Recipe, gone: frozenset[str]
) -> Callable[[int], LanguageModel]:
    """By number: the shards trained from other first weights, on all documents but these."""
    left = [s for s in sources if s.reference not in gone]

    @cache
    def retrained(number: int) -> LanguageModel:
        return sharded.train(base, "", left, recipe=replace(recipe, seed=1 + number), key=OWN)[1]

    return retrained
