"""A shard goes on from a kept point only where that gives the bytes of a training from the beginning."""

from dataclasses import replace

import pytest
import torch

from tests.unlearning.conftest import Run, tiny_model
from unlearning.assignment import load_key
from unlearning.models import LanguageModel, copy_of
from unlearning.recipe import Recipe
from unlearning.shard_training import LOG, Text, Trained, train_shard

RECIPE = Recipe(shards=1, steps=4, batch=2, rank=4, every=2, length=48)


def texts_of(run: Run, count: int, slices: int = 1) -> list[Text]:
    key = load_key(run.key)
    return [Text(key.tag(s.text), n % slices, s.text) for n, s in enumerate(run.sources[:count])]


@pytest.fixture(scope="module")
def whole(shards: Run) -> Trained:
    return train_shard(shards.base, texts_of(shards, 6), RECIPE, 0)


def test_the_same_training_again_takes_no_step(shards: Run, whole: Trained) -> None:
    assert len(whole.losses) == 4
    again = train_shard(shards.base, texts_of(shards, 6), RECIPE, 0, earlier=whole.files)
    assert (again.files, again.losses) == (whole.files, [])


@pytest.mark.parametrize(
    "other",
    [
        {"rate": 1e-3},
        {"length": 47},
        {"rank": 2},
        {"rank": 0},
        {"seed": 1},
        {"every": 1},
    ],
)
def test_points_by_another_recipe_are_not_gone_on_from(
    shards: Run, whole: Trained, other: dict[str, float]
) -> None:
    texts, recipe = texts_of(shards, 6), replace(RECIPE, **other)
    never = train_shard(shards.base, texts, recipe, 0)
    assert train_shard(shards.base, texts, recipe, 0, earlier=whole.files) == never
    assert never.files != whole.files


def test_points_of_another_shard_or_base_are_not_gone_on_from(shards: Run, whole: Trained) -> None:
    texts, base = texts_of(shards, 6), copy_of(shards.base)
    with torch.no_grad():
        next(base.network.parameters()).mul_(1.01)
    for model, number in ((shards.base, 1), (base, 0)):
        never = train_shard(model, texts, RECIPE, number)
        assert train_shard(model, texts, RECIPE, number, earlier=whole.files) == never
        assert never.losses != whole.losses


def test_points_that_learnt_another_class_are_not_gone_on_from(
    shards: Run, untrained: LanguageModel
) -> None:
    base = tiny_model("bert_classifier", untrained)
    first, *rest = (t._replace(label=n % 2) for n, t in enumerate(texts_of(shards, 4)))
    whole = train_shard(base, [first, *rest], RECIPE, 0)
    mended = [first._replace(label=1), *rest]
    never = train_shard(base, mended, RECIPE, 0)
    assert train_shard(base, mended, RECIPE, 0, earlier=whole.files) == never
    assert never.losses != whole.losses


def test_a_log_that_breaks_off_is_followed_as_far_as_it_goes(shards: Run, whole: Trained) -> None:
    short = b"".join(whole.files[LOG].splitlines(keepends=True)[:4])  # the recipe and three steps
    texts = texts_of(shards, 6)
    again = train_shard(shards.base, texts, RECIPE, 0, earlier={**whole.files, LOG: short})
    assert again.files == whole.files
    assert again.losses == whole.losses[2:]


SLICED = replace(RECIPE, slices=3, steps=6, every=0)  # ends of the stages: 1, 3, 6


@pytest.mark.parametrize("emptied", [0, 1])
def test_somebody_who_is_a_whole_slice_leaves_what_never_had_them(
    shards: Run, emptied: int
) -> None:
    """While the first is empty nothing is read."""
    texts = texts_of(shards, 6, 3)
    left = [t for t in texts if t.slice != emptied]
    whole = train_shard(shards.base, texts, SLICED, 0)
    again = train_shard(shards.base, left, SLICED, 0, earlier=whole.files)
    never = train_shard(shards.base, left, SLICED, 0)
    assert again.files == never.files
    assert len(again.losses) == 5
    assert len(never.losses) == (6 if emptied else 5)


@pytest.mark.parametrize(("gone", "taken"), [(1, 5), (2, 3)])
def test_a_slice_that_is_empty_is_gone_on_from(shards: Run, gone: int, taken: int) -> None:
    """After an empty first slice a point holds first weights and no optimiser state."""
    texts, steps = [t for t in texts_of(shards, 6, 3) if t.slice], []
    whole = train_shard(shards.base, texts, SLICED, 0)
    left = [t for t in texts if t.tag != texts[gone - 1].tag]
    again = train_shard(
        shards.base, left, SLICED, 0, earlier=whole.files, alive=lambda: steps.append(1)
    )
    assert again.files == train_shard(shards.base, left, SLICED, 0).files
    assert len(steps) == taken
