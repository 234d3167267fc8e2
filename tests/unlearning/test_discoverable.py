"""The chance of one draw, by hand and against the model itself; n, p and the draws they ask for."""

import math

import pytest
import torch

from tests.unlearning.sample import row
from tests.unlearning.stub import of_table
from unlearning.attacks.discoverable import MOST, Discoverable, chances, draws
from unlearning.models import LanguageModel
from unlearning.scoring import Target
from unlearning.trial import Trial

TABLE = torch.zeros(50, 50)
TABLE[1, 2], TABLE[2, 3] = (
    3.0,
    -1.0,
)  # of 50 tokens the sampling takes 40: token 3 after 2 is never drawn
TABLE[4] = torch.arange(50) * 0.01


def test_the_chance_is_that_of_the_forty_likeliest_tokens() -> None:
    model = of_table(TABLE)
    said = row([0, 1, 2, 3, 4, 49], (2, 3), (3, 4), (5, 6))
    first, second, third = chances(Target(model), [said])
    assert first == pytest.approx(math.exp(3) / (math.exp(3) + 39), rel=1e-5)
    assert second == 0.0
    likeliest = [math.exp(0.01 * k) for k in range(10, 50)]
    assert third == pytest.approx(math.exp(0.49) / sum(likeliest), rel=1e-5)


def test_a_secret_of_two_tokens_is_said_as_often_as_the_product() -> None:
    model = of_table(TABLE)
    (both,) = chances(Target(model), [row([0, 1, 2], (1, 3))])
    one, other = chances(Target(model), [row([0, 1, 2], (1, 2), (2, 3))])
    assert both == pytest.approx(one * other)


@pytest.mark.parametrize(
    ("chance", "p", "needed"),
    [(0.5, 0.5, 1), (0.1, 0.5, 7), (0.01, 0.9, 230), (1.0, 0.9, 1), (0.0, 0.5, MOST)],
)
def test_draws_needed_by_hand(chance: float, p: float, needed: float) -> None:
    assert draws(chance, p) == needed


@pytest.mark.parametrize(("n", "hits"), [(6, 0), (7, 1)])
def test_a_secret_is_discoverable_from_the_draw_at_which_the_chance_reaches_p(
    n: int, hits: int
) -> None:
    table = torch.zeros(10, 10)  # ten tokens, all alike: chance 0.1
    result = Discoverable(n, 0.5).run(
        Target(of_table(table)), [row([0, 1, 2], (2, 3))], [row([0, 3, 4], (2, 3))]
    )
    assert result.score("discoverable").members.hits == hits
    assert result.score("draws_needed").members.value == 7
    assert result.score("largest_chance").members.value == pytest.approx(0.1)


def test_a_memorised_person_is_within_reach_and_a_stranger_is_not(
    victim: LanguageModel, trial: Trial
) -> None:
    result = Discoverable().run(Target(victim), trial.members, trial.controls)
    score = result.score("discoverable")
    assert score.members.value == 1.0
    assert score.controls.hits == 0
    assert result.score("draws_needed").members.value <= 2
    assert result.score("draws_needed").controls.value > 1000


def test_a_chance_is_that_of_real_draws(victim: LanguageModel, trial: Trial) -> None:
    """400 draws of the first token of a secret, from the model asked by itself."""
    asked = trial.controls[0]
    span = asked.spans[0]
    with torch.no_grad():
        logits = victim.network(input_ids=torch.tensor([asked.ids[: span.start]])).logits[0, -1]
    top = logits.topk(40)
    order = torch.Generator().manual_seed(1)
    drawn = top.indices[torch.multinomial(top.values.softmax(-1), 400, True, generator=order)]
    told = chances(Target(victim), [row(asked.ids, (span.start, span.start + 1))])[0]
    assert float((drawn == asked.ids[span.start]).float().mean()) == pytest.approx(told, abs=0.08)


@pytest.mark.parametrize(("n", "p"), [(0, 0.5), (1, 0.0), (1, 1.0)])
def test_impossible_knobs_are_refused(n: int, p: float) -> None:
    with pytest.raises(ValueError, match="n >= 1"):
        Discoverable(n, p)
