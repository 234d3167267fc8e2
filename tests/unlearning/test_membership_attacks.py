"""Strength, reference, neighbourhood, gradient norm and ReCaLL: who is found, who is not, and what stays untouched."""

import random
from dataclasses import replace

import pytest
import torch

from domain.errors import Code, RequestRejected
from domain.outcomes import AttackResult, Rule
from tests.unlearning.conftest import Town
from tests.unlearning.test_attacks import noisy
from tests.unlearning.test_methods import digest
from unlearning import training
from unlearning.attacks import Attack
from unlearning.attacks.gradnorm import GradNorm
from unlearning.attacks.neighbourhood import Neighbourhood
from unlearning.attacks.recall import ReCaLL
from unlearning.attacks.reference import Reference
from unlearning.attacks.strength import Strength
from unlearning.models import LanguageModel
from unlearning.scoring import Target
from unlearning.trial import Trial

ALL: dict[str, Attack] = {
    "strength": Strength(),
    "reference": Reference(),
    "neighbourhood": Neighbourhood(neighbours=10),
    "gradnorm": GradNorm(),
    "recall": ReCaLL(),
}
CONTRASTS = {
    "reference": ("difference", "rmia", "lira"),
    "neighbourhood": ("neighbourhood",),
    "gradnorm": ("gradnorm",),
    "recall": ("recall",),
}


@pytest.fixture(scope="module")
def references(town: Town, victim: LanguageModel) -> list[LanguageModel]:
    """Two models that know the others a little, and never saw the person."""
    texts = [text for person in town.place.known[1:] for text in person.documents()]
    found = []
    for seed in (1, 2):
        with torch.random.fork_rng():
            model = training.new_model(victim.tokenizer, width=32, layers=2, context=128, seed=seed)
            training.Pretraining(steps=80, batch=8, length=96, rate=6e-3, seed=seed).run(
                model, [*texts, *town.place.sentences]
            )
        model.network.eval()
        found.append(model)
    return found


@pytest.fixture(scope="module")
def target(victim: LanguageModel, references: list[LanguageModel]) -> Target:
    return Target(victim, seed=5, references=references)


def beyond(result: AttackResult) -> list[str]:
    """The scores by which a person lies beyond the strangers' range."""
    judged = [score for score in result.scores if score.rule is Rule.RANGE]
    assert judged
    return [score.metric for score in judged if score.members.value > score.controls.high]


@pytest.mark.parametrize("name", ALL)
def test_a_memorised_person_is_found(name: str, target: Target, trial: Trial) -> None:
    result = ALL[name].run(target, trial.members, trial.controls)
    assert result.attack == name
    judged = [score.metric for score in result.scores if score.rule is Rule.RANGE]
    assert beyond(result) == judged
    assert name == "strength" or judged == [f"{name}_stands_out"]
    for metric in CONTRASTS.get(name, ()):
        contrast = result.score(metric).contrast
        assert contrast is not None
        assert contrast.value > 0.9


@pytest.mark.parametrize("name", ALL)
def test_of_ten_strangers_at_most_two_are_taken_for_known(
    name: str, target: Target, trial: Trial
) -> None:
    """Each as if it were the person; one in twenty lies beyond the range by chance."""
    found = []
    for person in dict.fromkeys(c.person for c in trial.controls):
        own = [c for c in trial.controls if c.person == person]
        others = [c for c in trial.controls if c.person != person]
        found.append(bool(beyond(ALL[name].run(target, own, others))))
    assert len(found) == 10
    assert sum(found) <= 2


@pytest.mark.parametrize("name", ALL)
def test_the_model_its_references_and_the_dice_are_left_alone(
    name: str, victim: LanguageModel, references: list[LanguageModel], trial: Trial
) -> None:
    """And dropout, frozen weights and gradients that are there already change no number."""
    models = [noisy(victim), *(noisy(one) for one in references)]
    groups = (trial.members, trial.controls[:12])
    quiet = ALL[name].run(Target(victim, references=references), *groups)
    found = [
        (
            digest(model),
            [m.training for m in model.network.modules()],
            [p.requires_grad for p in model.network.parameters()],
            [None if p.grad is None else p.grad.sum().item() for p in model.network.parameters()],
        )
        for model in models
    ]
    dice = (torch.get_rng_state(), random.getstate())
    loud = ALL[name].run(Target(models[0], references=models[1:]), *groups)
    for model, (weights, modes, trained, grads) in zip(models, found, strict=True):
        assert digest(model) == weights
        assert [m.training for m in model.network.modules()] == modes
        assert [p.requires_grad for p in model.network.parameters()] == trained
        assert [
            None if p.grad is None else p.grad.sum().item() for p in model.network.parameters()
        ] == grads
    assert torch.equal(torch.get_rng_state(), dice[0])
    assert random.getstate() == dice[1]
    assert loud == quiet


@pytest.mark.parametrize("name", ALL)
def test_a_window_without_anything_of_the_person_changes_nothing(
    name: str, target: Target, trial: Trial
) -> None:
    ordinary, few = trial.retained[0], trial.controls[:12]
    with_it = ALL[name].run(target, (*trial.members, ordinary), (*few, ordinary))
    assert with_it == ALL[name].run(target, trial.members, few)


@pytest.mark.parametrize("name", ALL)
def test_groups_that_prove_nothing_are_refused(name: str, target: Target, trial: Trial) -> None:
    bare = [replace(r, spans=(), sensitive=(False,) * len(r)) for r in trial.members]
    for members, controls, code in (
        (bare, trial.controls, Code.NO_SPANS),
        (trial.members, (), Code.NO_CONTROLS),
        (trial.members, (*trial.controls, trial.members[0]), Code.NO_CONTROLS),
    ):
        with pytest.raises(RequestRejected) as refused:
            ALL[name].run(target, members, controls)
        assert refused.value.code is code
