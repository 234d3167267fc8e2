"""Loss difference, RMIA and offline LiRA by hand, and the refusal without models to compare with."""

import math
from dataclasses import replace

import pytest

from domain.errors import Code, RequestRejected
from tests.unlearning import judged
from tests.unlearning.conftest import tiny_model
from unlearning.attacks.reference import Reference
from unlearning.models import LanguageModel
from unlearning.scoring import Target
from unlearning.trial import Trial


def test_rmia_by_hand() -> None:
    """p = 1/2, out = 1/4 and 1/8: with a = 1 the ratio is 1/2 over 3/16, with a = 0 over (3/16 + 1) / 2."""
    outs = [math.log(4), math.log(8)]
    assert Reference(a=1).ratio(math.log(2), outs) == pytest.approx(0.5 / (3 / 16))
    assert Reference(a=0).ratio(math.log(2), outs) == pytest.approx(0.5 / ((3 / 16 + 1) / 2))


def test_a_population_passage_is_beaten_only_by_more_than_gamma() -> None:
    assert Reference().share(2.0, [1.0, 2.0, 3.0, 0.5]) == 2 / 4
    assert Reference(gamma=2).share(2.0, [1.0, 2.0, 3.0, 0.5]) == 1 / 4


def test_lira_by_hand() -> None:
    """f = log(p / (1 - p)): p = 1/2 -> 0. Out 0 and 2 -> mean 1, deviation 1; the target's f is 4: z = 3."""

    def loss(f: float) -> float:
        return math.log1p(math.exp(-f))

    losses, outs = [loss(4), loss(0)], [[loss(0), loss(2)], [loss(-3), loss(3)]]
    assert Reference(alone_from=0).deviations(losses, outs) == pytest.approx([-3, 0])
    shared = math.sqrt((1 + 9) / 2)
    assert Reference().deviations(losses, outs) == pytest.approx([-3 / shared, 0])
    density = Reference(alone_from=0, density=True).deviations(losses, outs)
    assert density[0] == pytest.approx(math.log(math.exp(-9 / 2) / math.sqrt(2 * math.pi)))


def test_lira_needs_two_references_that_differ() -> None:
    assert Reference().deviations([1.0], [[2.0]]) == []
    assert Reference().deviations([1.0], [[2.0, 2.0]]) == []
    model, rows = judged.target(), (judged.members(), judged.controls())
    one = Target(model, references=judged.references()[:1])
    assert {"difference", "rmia"} == {n for r in Reference().measure(one, *rows) for n in r}


def test_a_stranger_is_no_part_of_its_own_population() -> None:
    """With one other stranger the share is 0 or 1, never 1/2."""
    target = Target(judged.target(), references=judged.references())
    found = Reference().measure(target, judged.members()[:1], judged.controls()[:2])
    assert sorted(values["rmia"] for values in found[1:]) == [-1.0, 0.0]
    alone = Reference().measure(target, judged.members()[:1], judged.controls()[:1])
    assert "rmia" in alone[0]
    assert "rmia" not in alone[1]


@pytest.mark.parametrize("case", ["none", "another_vocabulary", "another_kind"])
def test_without_models_that_read_the_same_tokens_the_attack_is_refused(
    case: str, victim: LanguageModel, untrained: LanguageModel, trial: Trial
) -> None:
    references = {
        "none": [],
        "another_vocabulary": [untrained, judged.references()[0]],
        "another_kind": [replace(tiny_model("bert", untrained), tokenizer=victim.tokenizer)],
    }[case]
    with pytest.raises(RequestRejected) as refused:
        Reference().run(Target(victim, references=references), trial.members, trial.controls)
    assert refused.value.code is Code.ATTACK_INAPPLICABLE
    assert refused.value.sentence.startswith("attack reference")
