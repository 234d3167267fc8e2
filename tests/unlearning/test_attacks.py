"""The contract of every attack in ATTACKS: leaves no trace on the model, always measures the controls."""

import copy
import math
import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from domain.errors import Code, RequestRejected
from tests.unlearning.asked import CAUSAL_ONLY, PASSAGES, ask
from tests.unlearning.conftest import tiny_model
from tests.unlearning.test_methods import digest
from unlearning.attacks import ATTACKS
from unlearning.encoding import Encoded
from unlearning.fine_tuning import fine_tuned
from unlearning.models import LanguageModel, copy_of
from unlearning.scoring import Target
from unlearning.trial import Trial


def noisy(model: LanguageModel) -> LanguageModel:
    """A copy that is training, with dropout, some frozen weights and some gradients."""
    changed = replace(model, network=copy.deepcopy(model.network))
    for module in changed.network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.2
    changed.network.train()
    first, second, *_ = changed.network.parameters()
    first.requires_grad_(False)
    second.grad = torch.ones_like(second)
    next(iter(changed.network.children())).eval()
    return changed


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_leaves_everything_as_it_found_it(
    name: str, victim: LanguageModel, trial: Trial
) -> None:
    model = noisy(victim)
    parameters = list(model.network.parameters())
    weights, modes = digest(model), [m.training for m in model.network.modules()]
    grads = [None if p.grad is None else p.grad.clone() for p in parameters]
    frozen = [p.requires_grad for p in parameters]
    states = (torch.get_rng_state(), random.getstate(), repr(np.random.get_state()))  # noqa: NPY002
    ask(name, model, trial, trial.members, trial.controls[:6], victim)
    assert digest(model) == weights
    assert [m.training for m in model.network.modules()] == modes
    assert [p.requires_grad for p in parameters] == frozen
    for parameter, grad in zip(parameters, grads, strict=True):
        assert (parameter.grad is None) == (grad is None)
        assert grad is None or torch.equal(parameter.grad, grad)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert repr(np.random.get_state()) == states[2]  # noqa: NPY002
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in model.network.modules())


@pytest.mark.parametrize("name", ATTACKS)
def test_dropout_left_on_does_not_change_a_score(
    name: str, victim: LanguageModel, trial: Trial
) -> None:
    controls = trial.controls[:6]
    quiet = ask(name, victim, trial, trial.members, controls, victim)
    loud = ask(name, noisy(victim), trial, trial.members, controls, victim)
    assert loud == quiet


@pytest.mark.parametrize("name", ATTACKS)
def test_every_score_carries_controls_trials_and_an_interval(
    name: str, victim: LanguageModel, trial: Trial, untrained: LanguageModel
) -> None:
    result = ask(name, victim, trial, trial.members, trial.controls, untrained)
    assert result.scores
    for score in result.scores:
        estimates = [score.members, score.controls, *([score.contrast] if score.contrast else [])]
        for estimate in estimates:
            assert estimate.trials >= 1
            assert math.isfinite(estimate.value)
            assert estimate.low <= estimate.value <= estimate.high
        for judged in (e for e in estimates if e.hits is not None or e is score.contrast):
            assert judged.low < judged.high


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize(
    ("case", "code"),
    [
        ("no_members", Code.NO_SPANS),
        ("no_spans", Code.NO_SPANS),
        ("no_controls", Code.NO_CONTROLS),
        ("controls_without_spans", Code.NO_CONTROLS),
        ("overlap", Code.NO_CONTROLS),
    ],
)
def test_groups_that_prove_nothing_are_refused(
    name: str, case: str, code: Code, victim: LanguageModel, trial: Trial
) -> None:
    def bare(rows: tuple[Encoded, ...]) -> tuple[Encoded, ...]:
        return tuple(replace(r, spans=(), sensitive=(False,) * len(r)) for r in rows)

    members, controls = {
        "no_members": ((), trial.controls),
        "no_spans": (bare(trial.members), trial.controls),
        "no_controls": (trial.members, ()),
        "controls_without_spans": (trial.members, bare(trial.controls)),
        "overlap": (trial.members, (*trial.controls, trial.members[0])),
    }[case]
    with pytest.raises(RequestRejected) as refused:
        ask(name, victim, trial, members, controls)
    assert refused.value.code is code


@pytest.mark.parametrize("name", ATTACKS)
def test_a_window_without_anything_of_the_person_is_no_overlap(
    name: str, victim: LanguageModel, trial: Trial
) -> None:
    ordinary = trial.retained[0]
    members, controls = (*trial.members, ordinary), (*trial.controls[:6], ordinary)
    with_it = ask(name, victim, trial, members, controls)
    without = ask(name, victim, trial, trial.members, trial.controls[:6])
    if name in PASSAGES:  # a mean over passages moves with another passage
        assert [s.metric for s in with_it.scores] == [s.metric for s in without.scores]
    else:
        assert with_it == without


@pytest.mark.parametrize("kind", ["bert", "llama", "neox"])
@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_runs_on_other_architectures(
    name: str, kind: str, untrained: LanguageModel, trial: Trial
) -> None:
    model = tiny_model(kind, untrained)
    from tests.unlearning.sample import framed

    members, controls = framed(model, trial.members[1:2]), framed(model, trial.controls[1:6:3])
    if kind == "bert" and name in CAUSAL_ONLY:
        with pytest.raises(RequestRejected) as refused:
            ask(name, model, trial, members, controls)
        assert refused.value.code is Code.ATTACK_INAPPLICABLE
        return
    if name == "relearning":  # it needs two passages of each person
        members, controls = framed(model, trial.members), framed(model, trial.controls[:6])
    result = ask(name, model, trial, members, controls)
    assert result.scores
    assert all(math.isfinite(score.members.value) for score in result.scores)


def test_fine_tuning_moves_the_weights_of_a_bf16_model_as_far_as_in_fp32(
    victim: LanguageModel, trial: Trial
) -> None:
    coarse = copy_of(victim)
    coarse.network.to(torch.bfloat16)
    fine = copy_of(coarse)
    fine.network.float()
    rows = trial.corpus.ordinary[:4]
    ours, theirs = (fine_tuned(model, [rows] * 3, 1e-4, 0) for model in (coarse, fine))
    for name, weight in theirs.network.state_dict().items():
        assert torch.equal(ours.network.state_dict()[name], weight)
    assert {p.dtype for p in coarse.network.parameters()} == {torch.bfloat16}


def test_a_model_that_says_nan_is_refused(victim: LanguageModel, trial: Trial) -> None:
    broken = replace(victim, network=copy.deepcopy(victim.network))
    next(broken.network.parameters()).data.fill_(math.nan)
    for name in ("extraction", "memorisation", "membership"):
        with pytest.raises(RequestRejected) as refused:
            ATTACKS[name]().run(Target(broken), trial.members, trial.controls)
        assert refused.value.code is Code.MODEL_NOT_FINITE
