"""What gradient methods refuse, skip or give up, and what they say then."""

from dataclasses import replace

import pytest
import torch

from domain.errors import Code, RequestRejected, UnlearningFailed
from tests.unlearning.baselines import BASELINES, EVERY, LAYER, weights
from tests.unlearning.sample import row
from unlearning.corpus import Corpus
from unlearning.methods import METHODS
from unlearning.models import LanguageModel
from unlearning.tuning import Knobs, tuning


@pytest.mark.parametrize(
    ("name", "knob", "value"),
    [
        *((name, "steps", -1) for name in (*EVERY, "selective_ascent")),
        ("npo", "rate", float("nan")),
        ("npo", "rate", -1e-4),
        ("npo", "batch", 0),
        ("npo", "beta", 0.0),
        ("simnpo", "beta", -1.0),
        ("grad_diff", "retain_term", "mse"),
        ("adversarial", "retain_term", ""),
        ("adversarial", "base", "rmu"),
        ("adversarial", "layer", -1),
        ("adversarial", "inner_steps", -1),
        ("adversarial", "radius", -0.1),
        ("gradient_ascent", "chunk", -1),
        ("gradient_ascent", "n", 0),
        ("gradient_ascent", "min_steps", -1),
        ("llmu", "answers", 0),
        ("selective_ascent", "lora_rank", -1),
        ("selective_ascent", "spans", "both"),
        ("retrain", "steps", -1),
        ("retrain", "batch", 0),
        ("relearning_ascent", "every", 0),
        ("anchor_distillation", "reinforce", -1),
        ("anchor_distillation", "fictitious", False),
        ("anchor_distillation", "anchor", -1.0),
        ("anchor_distillation", "name_share", float("nan")),
        ("anchor_distillation", "near", float("nan")),
        ("anchor_distillation", "samples", -1),
        ("anchor_distillation", "length", 1),
        ("selective_ascent", "retain", -1.0),
        ("selective_ascent", "rehearsal", float("nan")),
        ("selective_ascent", "cap_share", -0.1),
        ("selective_ascent", "look", -1),
        ("anchor_distillation", "look", -1),
        ("grad_diff", "forget_weight", -1.0),
        ("npo", "retain_weight", float("nan")),
        ("loo_ensemble", "clean", -1.0),
        ("loo_ensemble", "near", float("nan")),
        ("mechanistic", "located", 0),
        ("mechanistic", "points", 0),
        ("depn", "share", float("inf")),
        ("pcgu", "samples", -1),
        ("kga", "strangers", 0),
        ("kga", "every", 0),
        ("kga", "helper_steps", -1),
        ("kga", "aligned", float("nan")),
        ("eul", "language", -0.1),
        ("eul", "near", float("nan")),
        ("eul", "lora_rank", -1),
    ],
)
def test_a_knob_that_cannot_be_is_refused_by_name(name: str, knob: str, value: object) -> None:
    with pytest.raises(RequestRejected) as failed:
        METHODS[name](**{knob: value})
    assert failed.value.code is Code.POLICY_INVALID
    assert failed.value.place.endswith(f"option {knob}")


@pytest.mark.parametrize("name", [*EVERY, "selective_ascent"])
def test_a_secret_that_is_the_first_token_has_no_prediction(
    name: str, victim: LanguageModel, corpus: Corpus
) -> None:
    method = METHODS[name](steps=1, rate=1e-4, **LAYER.get(name, {}))
    own = corpus.forget[0]
    bare = replace(own, ids=own.ids[1:], sensitive=(True,) + (False,) * (len(own) - 2))
    span = replace(own.spans[1], start=0, end=1)
    first = replace(bare, spans=(span,))
    with pytest.raises(UnlearningFailed) as failed:
        method.unlearn(victim, replace(corpus, forget=(first,)))
    assert failed.value.code is Code.NO_SPANS


@pytest.mark.parametrize("name", BASELINES)
def test_a_secret_that_is_the_first_token_is_skipped_and_counted(
    name: str, victim: LanguageModel, corpus: Corpus
) -> None:
    own = corpus.forget[0]
    first = row(own.ids[1:], (0, 1), text="")
    options = {"steps": 1, "rate": 1e-4, "spans": True, **LAYER.get(name, {})}
    found = METHODS[name](**options).unlearn(victim, replace(corpus, forget=(first, own)))
    alone = METHODS[name](**options).unlearn(victim, replace(corpus, forget=(own,)))
    assert found.trace.facts["unpredicted"] == 1
    close = pytest.approx(alone.trace.steps[0]["forget_nll"], rel=0.2)  # the push sees both
    assert found.trace.steps[0]["forget_nll"] == close


@pytest.mark.parametrize("name", BASELINES)
def test_without_a_retain_term_nobody_else_is_needed(
    name: str, victim: LanguageModel, corpus: Corpus
) -> None:
    options = {"steps": 1, "rate": 1e-4, "retain_term": "none", **LAYER.get(name, {})}
    found = METHODS[name](**options).unlearn(victim, replace(corpus, neighbours=()))
    assert set(found.trace.steps[0]) == {"forget_nll", "secret_nll"}


@pytest.mark.parametrize(
    ("name", "rate", "steps"),
    [
        ("grad_diff", 0.1, 1),  # the look after the last step sees it
        ("grad_diff", 0.1, 4),
        ("grad_diff", 1.0, 1),
        ("gradient_ascent", 10.0, 1),  # no neighbours to look at: the weights say it
    ],
)
def test_a_rate_that_breaks_the_model_but_leaves_it_finite_is_a_failure(
    name: str, rate: float, steps: int, victim: LanguageModel, corpus: Corpus
) -> None:
    weights_before = {n: w.clone() for n, w in weights(victim).items()}
    with pytest.raises(UnlearningFailed) as failed:
        METHODS[name](rate=rate, steps=steps).unlearn(victim, corpus)
    assert failed.value.code is Code.METHOD_DIVERGED
    assert all(torch.equal(w, weights_before[n]) for n, w in weights(victim).items())


def test_a_full_device_is_a_failure_with_advice(small: LanguageModel) -> None:
    with (
        pytest.raises(UnlearningFailed) as failed,
        tuning("npo", small, Knobs(), 0) as running,
    ):
        running.descend([0], lambda _: full(), rate=1e-4)
    assert failed.value.code is Code.OUT_OF_MEMORY
    assert "lora_rank" in failed.value.remedy
    assert "batch" in failed.value.remedy


def full() -> tuple[torch.Tensor, dict[str, float]]:
    raise torch.OutOfMemoryError("CUDA out of memory")
