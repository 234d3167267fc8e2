"""The contract of every attack in ATTACKS: leaves no trace on the model, always measures the controls."""

import copy
import math
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers.normalizers import Lowercase

from domain.errors import Code, RequestRejected
from domain.records import SpanKind
from tests import tiny
from tests.unlearning.asked import CAUSAL_ONLY, PASSAGES, ask
from tests.unlearning.conftest import Town, tiny_model
from tests.unlearning.sample import marked
from tests.unlearning.test_methods import digest
from unlearning import models, training
from unlearning.attacks import ATTACKS
from unlearning.attacks.exposure import Exposure
from unlearning.attacks.extraction import Extraction
from unlearning.attacks.membership import Membership
from unlearning.encoding import Encoded
from unlearning.fine_tuning import fine_tuned
from unlearning.models import Kind, LanguageModel, copy_of
from unlearning.scoring import Target
from unlearning.trial import Trial, prepare, shape_sha256


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


def test_one_value_in_several_spellings_is_one_trial(town: Town, untrained: LanguageModel) -> None:
    """Or one secret would be three, and meet `least_trials` alone."""
    person = town.place.known[0]
    spelt = [person.phone, person.phone.replace("-", " "), person.phone.replace("-", "")]
    written = [person.email, person.email.upper()]
    items = [
        *(marked(f"Call {value} now.", (value, SpanKind.PHONE)) for value in spelt),
        *(marked(f"Write to {value} today.", (value, SpanKind.EMAIL)) for value in written),
    ]
    items = [replace(item, ref=f"a.jsonl#{n}") for n, item in enumerate(items)]
    trial = prepare(untrained, items, town.neighbours, town.sentences, seed=1, controls=4)
    target = Target(untrained)
    extracted = Extraction().run(target, trial.members, trial.controls)
    assert extracted.score("any_prefix").members.trials == 2
    ranked = Exposure().run(target, trial.members, trial.controls)
    assert ranked.score("ranked_first").members.trials == 2


def test_a_class_has_no_tokens_to_leave_out() -> None:
    """A classifier says one thing a text: without its last token there is no Min-K%, and the rest is still there."""
    place = tiny.town(4)
    tokenizer = training.train_tokenizer(place.documents, 420, kind=Kind.CLASSIFIER)
    model = training.new_model(
        tokenizer, width=32, layers=1, context=128, seed=0, kind=Kind.CLASSIFIER, classes=4
    )
    people = [tiny.classed(tiny.passages(x, f"p{n}")) for n, x in enumerate(place.known)]
    others = [p for one in people[1:] for p in one]
    sentences = tiny.classed(tiny.sentences(place))
    trial = prepare(model, people[0], others, sentences, seed=1, controls=5)
    result = Membership(drop_last=True).run(Target(model), trial.members, trial.controls)
    names = {score.metric for score in result.scores}
    assert {"loss", "zlib", "stands_out"} <= names
    assert not names & {"mink", "minkpp"}


def test_a_tokenizer_that_reads_otherwise_makes_another_model(
    victim: LanguageModel, victim_folder: Path
) -> None:
    """The attacks ask in the tokens of before: a model that says the secret by a token of its own is asked nothing."""
    assert shape_sha256(models.load(victim_folder)) == shape_sha256(victim)
    more = copy.deepcopy(victim.tokenizer)
    more.add_tokens(["739-582-6104"])
    assert shape_sha256(replace(victim, tokenizer=more)) != shape_sha256(victim)
    lower = copy.deepcopy(victim.tokenizer)
    lower.backend_tokenizer.normalizer = Lowercase()
    assert shape_sha256(replace(victim, tokenizer=lower)) != shape_sha256(victim)
