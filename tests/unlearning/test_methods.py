"""The contract of every method in METHODS: repeatable, harmless to what it is given, and silent about the person."""

import copy
import hashlib
import random
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from enum import Enum
from numbers import Number
from pathlib import Path

import pytest
import torch

from domain.errors import Code, UnlearningFailed
from domain.outcomes import Edit, Layer
from tests.unlearning.conftest import Run, Town
from unlearning.corpus import Corpus
from unlearning.methods import METHODS, Method
from unlearning.models import LanguageModel
from unlearning.trial import Trial
from unlearning.unlearned import Unlearned

Build = Callable[[str], Method]
Given = Callable[[str], LanguageModel]
KNOBS: dict[str, dict[str, object]] = {
    "anchor_distillation": {"steps": 3, "samples": 8, "length": 24},
    "selective_ascent": {"steps": 3, "samples": 8, "length": 24},
    "depn": {"pace": 4, "share": 0.02, "points": 20, "spared": 2},
    "loo_ensemble": {"steps": 3, "samples": 8, "length": 24},
    "retrain": {"steps": 5, "batch": 4},
    "relearning_ascent": {"steps": 3, "samples": 8, "length": 24},
    "gradient_ascent": {"steps": 2, "rate": 1e-3},
    "grad_diff": {"steps": 3, "rate": 1e-3},
    "npo": {"steps": 3, "rate": 1e-3},
    "simnpo": {"steps": 3, "rate": 1e-3},
    "llmu": {"steps": 2, "rate": 1e-3},
    "adversarial": {"steps": 2, "rate": 1e-3, "layer": 1, "inner_steps": 2},
    "mechanistic": {"steps": 3, "samples": 8, "length": 24, "located": 2, "points": 10},
    "pcgu": {"steps": 2},
    "task_vector": {"steps": 3, "strengths": [0.5, 1.0]},
    "rank_demotion": {"rounds": 2, "most_drift": 99.0},
    "quark": {
        "rounds": 1,
        "steps": 3,
        "samples": 2,
        "length": 8,
        "prompts": 3,
        "rehearsed": 8,
        "rate": 1e-3,
    },
    "kga": {"steps": 3, "samples": 8, "length": 24, "strangers": 1, "helper_rate": 3e-3},
    "eul": {"steps": 3, "samples": 8, "length": 24, "near": 9.0},
}
UNPROTECTING = {"depn", "gradient_ascent", "retrain", "sisa"}
"""They have no term for other people."""


def digest(model: LanguageModel) -> str:
    found = hashlib.sha256()
    for name, tensor in sorted(model.network.state_dict().items()):
        found.update(name.encode() + tensor.detach().cpu().numpy().tobytes())
    return found.hexdigest()


@pytest.fixture(scope="session")
def build(teachers: Path, shards: Run) -> Build:
    own: dict[str, dict[str, object]] = {
        "loo_ensemble": {"shards": str(teachers)},
        "sisa": {"shards": str(shards.folder), "key": str(shards.key)},
    }

    def made(name: str) -> Method:
        return METHODS[name](**KNOBS.get(name, {}), **own.get(name, {}))

    return made


@pytest.fixture(scope="session")
def given(victim: LanguageModel, shards: Run) -> Given:
    """The model that a method is tried on: the one that was made for it, or the victim."""
    made = {"sisa": shards.model}
    return lambda name: made.get(name, victim)


@pytest.fixture(scope="session")
def first_runs(given: Given, trial: Trial, build: Build) -> Callable[[str], Unlearned]:
    """Each method's result, computed once, with a check that the model it was given stayed as it was."""
    known: dict[str, Unlearned] = {}

    def run(name: str) -> Unlearned:
        if name not in known:
            known[name] = build(name).unlearn(given(name), trial.corpus)
        return known[name]

    return run


@pytest.mark.parametrize("name", METHODS)
def test_the_same_seed_gives_identical_weights(
    name: str,
    given: Given,
    trial: Trial,
    build: Build,
    first_runs: Callable[[str], Unlearned],
) -> None:
    first = first_runs(name).model.network.state_dict()
    torch.manual_seed(random.randrange(2**31))  # the global state must not matter
    second = build(name).unlearn(given(name), trial.corpus).model.network.state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


def only(trial: Trial, number: int) -> Corpus:
    """One of the person's three passages, and the strangers' counterparts of it."""
    corpus = trial.corpus
    return replace(
        corpus, forget=corpus.forget[number : number + 1], controls=corpus.controls[number::3]
    )


@pytest.mark.parametrize("name", METHODS)
def test_the_given_model_and_the_global_random_state_stay_as_they_were(
    name: str, given: Given, trial: Trial, build: Build
) -> None:
    victim = given(name)
    weights, state, python = digest(victim), torch.get_rng_state(), random.getstate()
    modes = [module.training for module in victim.network.modules()]
    after = build(name).unlearn(victim, only(trial, 1))
    assert digest(victim) == weights
    assert digest(after.model) != weights
    assert torch.equal(torch.get_rng_state(), state)
    assert random.getstate() == python
    assert [module.training for module in victim.network.modules()] == modes
    assert all(p.grad is None and p.requires_grad for p in victim.network.parameters())


@pytest.mark.parametrize("name", METHODS)
def test_a_model_with_dropout_left_on_is_still_repeatable(
    name: str, given: Given, trial: Trial, build: Build
) -> None:
    victim = given(name)
    noisy = replace(victim, network=copy.deepcopy(victim.network))
    for module in noisy.network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.3
    noisy.network.train()
    own = build(name)
    quick = replace(own, steps=1) if hasattr(own, "steps") else own  # type: ignore[type-var,call-arg]  # a method may have no steps
    corpus, state = only(trial, 2), torch.get_rng_state()
    runs = [quick.unlearn(noisy, corpus) for _ in range(2)]
    assert noisy.network.training
    assert torch.equal(torch.get_rng_state(), state)
    assert digest(runs[0].model) == digest(runs[1].model)
    assert runs[0].trace.steps == runs[1].trace.steps
    assert runs[0].trace.facts == runs[1].trace.facts
    assert not any(run.model.network.training for run in runs)


def plain(value: object) -> bool:
    """A number, an enum, a name of this code, or a digest; or a collection of those."""
    if isinstance(value, Mapping):
        return all(isinstance(k, str) and k.isidentifier() and plain(v) for k, v in value.items())
    if isinstance(value, tuple):
        return all(plain(item) for item in value)
    if isinstance(value, Edit | Layer):
        return all(plain(getattr(value, field.name)) for field in fields(value))
    if isinstance(value, str) and not isinstance(value, Enum):
        known = {"target", "steps", "selected", "dropped", "neurons", "vectors"}
        return value in {*METHODS, *known} or (
            len(value) == 64 and set(value) <= set("0123456789abcdef")
        )
    return value is None or isinstance(value, Number | Enum)


@pytest.mark.parametrize("name", METHODS)
def test_a_trace_holds_only_numbers_enums_and_digests(
    name: str, first_runs: Callable[[str], Unlearned], town: Town
) -> None:
    trace = first_runs(name).trace
    assert trace.method == name
    assert trace.steps
    assert all(plain(getattr(trace, field.name)) for field in fields(trace))
    shown = repr(trace).casefold()
    person = town.place.known[0]
    assert not any(s.casefold() in shown for s in (person.given, person.family, *person.secrets()))


@pytest.mark.parametrize("name", METHODS)
def test_nothing_to_forget_is_refused(name: str, given: Given, trial: Trial, build: Build) -> None:
    victim = given(name)
    bare = tuple(replace(r, spans=(), sensitive=(False,) * len(r)) for r in trial.corpus.forget)
    with pytest.raises(UnlearningFailed) as failed:
        build(name).unlearn(victim, replace(trial.corpus, forget=bare))
    assert failed.value.code is Code.NO_SPANS


@pytest.mark.parametrize("name", [n for n in METHODS if n not in UNPROTECTING])
def test_a_method_that_protects_others_refuses_to_run_without_them(
    name: str, given: Given, trial: Trial, build: Build
) -> None:
    victim = given(name)
    with pytest.raises(UnlearningFailed) as failed:
        build(name).unlearn(victim, replace(trial.corpus, neighbours=()))
    assert failed.value.code is Code.NO_NEIGHBOURS


@pytest.mark.parametrize("name", ["selective_ascent", "loo_ensemble", "sisa"])
def test_without_strangers_there_is_no_level_and_it_is_refused(
    name: str, given: Given, trial: Trial, build: Build
) -> None:
    with pytest.raises(UnlearningFailed) as failed:
        build(name).unlearn(given(name), replace(trial.corpus, controls=()))
    assert failed.value.code is Code.NO_CONTROLS


@pytest.mark.parametrize("name", METHODS)
def test_a_spent_budget_ends_the_method(
    name: str, given: Given, trial: Trial, build: Build
) -> None:
    victim = given(name)
    with pytest.raises(UnlearningFailed) as failed:
        replace(build(name), budget_seconds=0.0).unlearn(victim, trial.corpus)  # type: ignore[type-var]
    assert failed.value.code is Code.METHOD_OVER_BUDGET


@pytest.mark.parametrize("steps", [1, 4])
def test_a_learning_rate_that_explodes_is_a_failure_even_at_the_last_step(
    steps: int, victim: LanguageModel, trial: Trial
) -> None:
    wild = METHODS["selective_ascent"](steps=steps, rate=float("inf"), samples=4, length=8)
    with pytest.raises(UnlearningFailed) as failed:
        wild.unlearn(victim, trial.corpus)
    assert failed.value.code is Code.METHOD_DIVERGED


def test_a_teacher_who_knows_the_person_is_not_used(
    victim: LanguageModel, victim_folder: Path, trial: Trial, tmp_path: Path
) -> None:
    (tmp_path / "shard").symlink_to(victim_folder)
    (tmp_path / "manifest.json").write_text(
        '{"shards": [{"path": "shard", "documents": ["p9.jsonl#1"]}]}'
    )
    with pytest.raises(UnlearningFailed) as failed:
        METHODS["loo_ensemble"](shards=str(tmp_path)).unlearn(victim, trial.corpus)
    assert failed.value.code is Code.METHOD_INAPPLICABLE


@pytest.mark.parametrize("written", ["", "[]", "{}", '{"shards": [{"path": "shard0"}]}', "null"])
def test_a_broken_list_of_teachers_lets_the_next_method_try(
    written: str, victim: LanguageModel, trial: Trial, tmp_path: Path
) -> None:
    (tmp_path / "manifest.json").write_text(written)
    with pytest.raises(UnlearningFailed) as failed:
        METHODS["loo_ensemble"](shards=str(tmp_path)).unlearn(victim, trial.corpus)
    assert failed.value.code is Code.METHOD_INAPPLICABLE
