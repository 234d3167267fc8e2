"""What an erasure costs by the layout alone, against SISA's laws (Bourtoule et al. 2021); nothing is trained."""

import math
from statistics import mean, stdev

import pytest

from unlearning.assignment import Key, place
from unlearning.recipe import Recipe
from unlearning.shard_training import LOG, Row, _batches, _log, _points, _resumed

KEY = Key(b"a" * 32)
BATCHES = 10_000


@pytest.mark.parametrize(("shards", "people"), [(8, 2), (8, 4), (20, 6)])
def test_a_batch_of_people_touches_the_share_of_shards_that_the_law_says(
    shards: int, people: int
) -> None:
    """1 - (1 - 1/S)^K on average; from batch to batch it varies as the share of S boxes that K balls fall into."""
    everybody = (KEY.of("person", f"p{n}") for n in range(BATCHES * people))
    at = [place(person, KEY, shards, 1)[0] for person in everybody]
    shares = [len({*at[n : n + people]}) / shards for n in range(0, len(at), people)]
    law = 1 - (1 - 1 / shards) ** people
    both = 1 / shards * (1 - 1 / shards) ** people + (1 - 1 / shards) * (1 - 2 / shards) ** people
    spread = math.sqrt(both - (1 - law) ** 2)
    assert mean(shares) == pytest.approx(law, abs=2.58 * spread / math.sqrt(BATCHES))  # 99 %
    assert stdev(shares) == pytest.approx(spread, rel=0.05)


@pytest.mark.parametrize("slices", [1, 2, 3, 4, 6])
def test_who_is_in_which_slice_says_how_many_steps_are_taken_again(slices: int) -> None:
    """2/3 + 1/(3R) of a shard's steps for one of R slices' people, and so 1/S of that of all shards'."""
    recipe = Recipe(slices=slices, steps=2 * slices * (slices + 1), batch=2)
    rows = [Row(f"{n}+0", n, (0,)) for n in range(slices)]
    whole = _logged(rows, recipe) | {f"point-{n}.safetensors": b"" for n in _points(recipe)}
    taken = [
        recipe.steps - _resumed(whole, _logged(left, recipe)[LOG])[0]
        for left in ([row for row in rows if row.slice != n] for n in range(slices))
    ]
    assert taken == sorted(taken, reverse=True)
    assert taken[0] == recipe.steps
    assert mean(taken) == pytest.approx(recipe.steps * (2 / 3 + 1 / (3 * slices)))


def _logged(rows: list[Row], recipe: Recipe) -> dict[str, bytes]:
    return {LOG: _log(list(_batches(rows, recipe)), recipe, 0, "base")}
