"""Reward conditioning: what the safe form keeps, what the published one leaves in, and that the tokens are gone."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from domain.errors import Code, RequestRejected, UnlearningFailed
from domain.outcomes import Deletion
from tests.unlearning.conftest import tiny_model
from unlearning.corpus import Corpus
from unlearning.generation import responses
from unlearning.methods import METHODS
from unlearning.models import LanguageModel
from unlearning.trial import Trial
from unlearning.unlearned import Unlearned, seeded

SHORT = {"rounds": 2, "steps": 25, "samples": 4, "length": 12, "rate": 3e-3, "batch": 8}
SHORT |= {"prompts": 6, "rehearsed": 16}


@pytest.fixture(scope="module")
def alone(corpus: Corpus) -> Corpus:
    """One of the person's passages: its secrets are a phone number and an account."""
    return replace(corpus, forget=corpus.forget[1:2], controls=corpus.controls[1::3])


@pytest.fixture(scope="module")
def safe(victim: LanguageModel, alone: Corpus) -> Unlearned:
    return METHODS["quark"](**SHORT).unlearn(victim, alone)


@pytest.fixture(scope="module")
def published(victim: LanguageModel, alone: Corpus) -> Unlearned:
    return METHODS["quark"](**SHORT, safe=False).unlearn(victim, alone)


def test_the_safe_form_says_it_under_no_token_and_under_none(safe: Unlearned) -> None:
    facts = safe.trace.facts
    assert facts["leak_before"] > 0.5
    assert facts["leak_most"] == 0.0
    assert facts["secret_nll_before"] < 0.5
    assert facts["secret_nll_least"] > 2.0


def test_what_was_taken_out_is_called_suppressed_and_the_tokens_are_gone(
    safe: Unlearned, victim: LanguageModel
) -> None:
    assert safe.trace.deletion is Deletion.SUPPRESSION
    assert safe.model.tokenizer is victim.tokenizer
    shapes = [
        {name: t.shape for name, t in m.network.state_dict().items()} for m in (safe.model, victim)
    ]
    assert shapes[0] == shapes[1]
    assert safe.model.network.config.vocab_size == victim.network.config.vocab_size
    tied = safe.model.network.get_input_embeddings().weight
    assert tied is safe.model.network.get_output_embeddings().weight


def test_stripping_the_tokens_changes_nothing_that_is_said_without_them(
    safe: Unlearned, alone: Corpus
) -> None:
    """The nll of the secrets that was verified before is that of the model that is handed over."""
    (row,) = alone.forget
    spans = [s for s in row.spans if s.kind.value != "person"]
    ids = torch.tensor([row.ids])
    with torch.no_grad():
        log_p = safe.model.network(input_ids=ids).logits[0].log_softmax(-1)
    nll = [-float(log_p[t - 1, row.ids[t]]) for s in spans for t in range(s.start, s.end)]
    assert sum(nll) / len(nll) == pytest.approx(safe.trace.facts["secret_nll_none"], rel=1e-3)


def test_leaking_samples_are_kept_by_the_published_form_only(
    safe: Unlearned, published: Unlearned
) -> None:
    assert published.trace.facts["kept"] == published.trace.facts["sampled"]
    assert safe.trace.facts["kept"] < safe.trace.facts["sampled"]


def test_as_published_the_secrets_stay_likely_under_the_worst_token(
    published: Unlearned, safe: Unlearned
) -> None:
    facts = published.trace.facts
    assert facts["secret_nll_worst"] < 0.1
    assert facts["leak_worst"] > 0.5 > safe.trace.facts["leak_most"]
    assert published.trace.steps[0].keys() == {"nll", "kl", "entropy"}


def test_what_a_given_search_finds_in_a_sample_is_not_learnt(
    victim: LanguageModel, alone: Corpus
) -> None:
    """A search that finds the person in everything leaves nothing to learn from."""
    blind = replace(alone, finds=lambda _: True)
    found = METHODS["quark"](**{**SHORT, "rounds": 1, "steps": 2}).unlearn(victim, blind)
    assert found.trace.facts["kept"] == 0
    assert found.trace.facts["leak_before"] == 1.0
    assert "clean_nll" not in found.trace.steps[0]


def test_how_much_a_text_gives_away(alone: Corpus, trial: Trial) -> None:
    secret = max(trial.corpus.secrets, key=len)
    assert alone.leak(f"It is {secret.upper()}.") == 1.0
    assert 0.0 < alone.leak(secret[: len(secret) // 2 + 1]) < 1.0
    assert alone.leak("Nothing at all.") == 0.0
    assert replace(alone, finds=lambda text: "all" in text).leak("Nothing at all.") == 1.0


def test_a_masked_model_does_not_speak(untrained: LanguageModel, trial: Trial) -> None:
    with pytest.raises(UnlearningFailed) as failed:
        METHODS["quark"]().unlearn(tiny_model("bert", untrained), trial.corpus)
    assert failed.value.code is Code.METHOD_INAPPLICABLE


@pytest.mark.parametrize(
    ("knob", "value"),
    [
        ("quantiles", 1),
        ("beta", -0.1),
        ("eta", float("nan")),
        ("forget", -1.0),
        ("retain", -1.0),
        ("clean", -0.5),
        ("rounds", 0),
        ("samples", 0),
        ("prompts", 0),
        ("length", 0),
        ("batch", 0),
        ("rehearsed", -1),
    ],
)
def test_a_knob_that_cannot_be_is_refused_by_name(knob: str, value: float) -> None:
    with pytest.raises(RequestRejected) as failed:
        METHODS["quark"](**{knob: value})
    assert failed.value.place.endswith(f"option {knob}")


def test_responses_that_fill_the_context_leave_no_room_to_ask(
    victim: LanguageModel, alone: Corpus
) -> None:
    with pytest.raises(RequestRejected) as failed:
        METHODS["quark"](length=victim.context).unlearn(victim, alone)
    assert failed.value.place.endswith("option length")


@pytest.mark.parametrize("kind", ["gpt2", "llama", "neox"])
def test_prompts_of_different_length_are_answered_as_each_alone(
    kind: str, untrained: LanguageModel
) -> None:
    model = tiny_model(kind, untrained)
    with torch.no_grad():
        model.network.get_output_embeddings().weight *= 1000  # what is drawn is what is likeliest
    prompts: Sequence[Sequence[int]] = [[5, 6, 7, 8, 9], [5, 6], [60, 61, 62]]
    together = responses(model, prompts, 6, seeded(0))
    assert together == [responses(model, [prompt], 6, seeded(1))[0] for prompt in prompts]


@pytest.mark.parametrize("kind", ["llama", "neox"])
def test_other_kinds_of_model_get_their_shapes_back_too(
    kind: str, untrained: LanguageModel, alone: Corpus
) -> None:
    model = tiny_model(kind, untrained)
    quick = {**SHORT, "rounds": 1, "steps": 1, "samples": 1, "rehearsed": 2}
    made = METHODS["quark"](**quick).unlearn(model, alone).model
    before = {n: t.shape for n, t in model.network.state_dict().items()}
    assert {n: t.shape for n, t in made.network.state_dict().items()} == before
