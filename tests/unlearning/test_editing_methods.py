"""The methods that edit: task vectors, located layers, demoted words; each by its formula."""

from dataclasses import replace
from math import inf, nan

import pytest
import torch

from domain.errors import Code, RequestRejected, UnlearningFailed
from tests.unlearning.baselines import same, weights
from tests.unlearning.conftest import other_kind, tiny_model
from unlearning.batches import batch_of
from unlearning.corpus import Corpus
from unlearning.levels import telling
from unlearning.losses import masked_mean, token_nll
from unlearning.methods import METHODS
from unlearning.methods.mechanistic import fewest
from unlearning.models import LanguageModel
from unlearning.neurons import attribute, feed_forward, mass
from unlearning.retaining import nameless
from unlearning.scoring import Target, said
from unlearning.trial import Trial
from unlearning.unlearned import seeded

KINDS = ("gpt2", "llama", "neox", "bert")


# --- which tokens are edited ----------------------------------------------------------------------


def test_what_stands_in_everybodys_value_is_not_edited(
    victim: LanguageModel, untrained: LanguageModel, trial: Trial
) -> None:
    """Separators of numbers are; a model that guesses nothing leaves every token of a secret to be edited."""
    told, left = set(), set()
    rows = nameless(trial.corpus.forget)
    for whole, own in zip(rows, telling(victim, trial.corpus), strict=True):
        for token, secret, tells in zip(whole.ids, whole.sensitive, own.sensitive, strict=True):
            assert secret or not tells
            if secret:
                (told if tells else left).add(victim.tokenizer.decode([token]).strip())
    assert left & {"-", "@", ",", "."}
    assert not any(map(str.isdigit, left))
    assert any(map(str.isdigit, told))
    assert telling(untrained, trial.corpus) == rows


# --- task vector ----------------------------------------------------------------------------------


def test_the_vector_is_taken_off_exactly_and_forgetting_grows_with_it(
    victim: LanguageModel, corpus: Corpus
) -> None:
    """theta - strength * (trained - theta), where strength -1 is the trained model itself."""
    options = {"steps": 4, "rate": 3e-4, "most_drift": 99.0}
    found = {
        s: METHODS["task_vector"](**options, strengths=[s]).unlearn(victim, corpus)
        for s in (0.25, 0.5, 0.75, 1.0)
    }
    start, half, whole = (weights(m) for m in (victim, found[0.5].model, found[1.0].model))
    for name, weight in start.items():
        torch.testing.assert_close(
            2 * (half[name] - weight), whole[name] - weight, atol=1e-6, rtol=0
        )
    nll = [run.trace.steps[-1]["secret_nll"] for run in found.values()]
    assert nll == sorted(nll)
    assert nll[-1] > 2 * nll[0]
    assert all(run.trace.facts["strength"] == s for s, run in found.items())


def test_as_published_secrets_alone_take_less_of_other_people_than_whole_texts_do(
    victim: LanguageModel, corpus: Corpus, trial: Trial
) -> None:
    """At equal forgetting, by sweeping the strength finely."""
    kept = {}
    for spans in (True, False):
        for strength in (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0):
            published = {"temperature": 1.0, "steps": 20, "rate": 1e-4}
            options = {"spans": spans, "strengths": [strength], "most_drift": 99.0, **published}
            model = METHODS["task_vector"](**options).unlearn(victim, corpus).model
            if said(Target(model), corpus.forget) == 0:
                break
        assert said(Target(model), corpus.forget) == 0
        kept[spans] = said(Target(model), trial.others) / said(Target(victim), trial.others)
    assert kept[True] > kept[False] + 0.2


def test_at_a_temperature_what_is_known_by_heart_has_a_gradient(
    victim: LanguageModel, corpus: Corpus
) -> None:
    """As many steps of the same size make the secrets dearer, even on whole texts."""
    options = {"spans": False, "strengths": [0.5], "most_drift": 99.0, "rate": 3e-4, "steps": 10}
    nll = [
        METHODS["task_vector"](temperature=t, **options)
        .unlearn(victim, corpus)
        .trace.steps[-1]["secret_nll"]
        for t in (1.0, 4.0)
    ]
    assert nll[1] > 2 * nll[0]


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_a_temperature_is_a_number_above_nothing(temperature: float) -> None:
    with pytest.raises(RequestRejected):
        METHODS["task_vector"](temperature=temperature)


def test_the_last_strength_is_taken_that_leaves_neighbours_where_they_are(
    victim: LanguageModel, corpus: Corpus
) -> None:
    published = {"rate": 1e-3, "steps": 20, "temperature": 1.0}
    method = METHODS["task_vector"](**published, strengths=[0.1, 0.2, 5.0, 9.0], most_drift=0.2)
    found = method.unlearn(victim, corpus)
    drifts = [step["neighbours_kl"] for step in found.trace.steps]
    assert found.trace.stopped == "steps"
    assert drifts[-1] > 0.2 >= drifts[-2]
    assert found.trace.facts["strength"] == found.trace.steps[-2]["strength"]
    again = METHODS["task_vector"](**published, strengths=[found.trace.facts["strength"]])
    assert same(found.model, again.unlearn(victim, corpus).model)


@pytest.mark.parametrize("strengths", [[], [1.0, 0.5], [0.0, 1.0], [0.5, inf], [0.5, nan]])
def test_strengths_that_are_no_sweep_are_refused(strengths: list[float]) -> None:
    with pytest.raises(RequestRejected) as failed:
        METHODS["task_vector"](strengths=strengths)
    assert "strengths" in failed.value.place


# --- located layers -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_feed_forward_matrices_are_found_by_structure(
    kind: str, untrained: LanguageModel
) -> None:
    names = {
        "gpt2": ["transformer.h.{}.mlp.c_fc", "transformer.h.{}.mlp.c_proj"],
        "neox": ["gpt_neox.layers.{}.mlp.dense_h_to_4h", "gpt_neox.layers.{}.mlp.dense_4h_to_h"],
        "llama": [f"model.layers.{{}}.mlp.{part}_proj" for part in ("gate", "up", "down")],
        "bert": ["bert.encoder.layer.{}.intermediate.dense", "bert.encoder.layer.{}.output.dense"],
    }[kind]
    found = feed_forward(tiny_model(kind, untrained))
    assert found == [[name.format(layer) for name in names] for layer in range(2)]


@pytest.mark.parametrize("lora_rank", [0, 2])
@pytest.mark.parametrize("loss", ["anchor", "inject", "unlearn"])
def test_nothing_outside_of_the_located_matrices_changes(
    loss: str, lora_rank: int, victim: LanguageModel, corpus: Corpus
) -> None:
    options = {"steps": 2, "samples": 8, "length": 24, "lora_rank": lora_rank, "layers": (1,)}
    found = METHODS["mechanistic"](**options, loss=loss).unlearn(victim, corpus)
    inside = feed_forward(victim)[1]
    changed = {
        name
        for name, weight in weights(victim).items()
        if not torch.equal(weight, weights(found.model)[name])
    }
    assert {name.rpartition(".")[0] for name in changed} == set(inside)
    assert all(p.requires_grad for p in found.model.network.parameters())


@pytest.mark.parametrize("loss", ["inject", "unlearn"])
def test_the_published_losses_work_in_forms_that_the_model_was_heard_to_say(
    loss: str, victim: LanguageModel, corpus: Corpus
) -> None:
    more = corpus.forget, corpus.controls
    own = replace(corpus, forget=corpus.forget[:1], forms=lambda *_: more)
    options = {"steps": 1, "samples": 8, "length": 24, "layers": (0,), "forms": 1}
    found = METHODS["mechanistic"](**options, loss=loss).unlearn(victim, own)
    assert found.trace.facts["transplants"] == len(corpus.forget) - 1


def test_the_layers_are_those_that_carry_the_secrets(victim: LanguageModel, corpus: Corpus) -> None:
    options = {"steps": 1, "samples": 8, "length": 24, "points": 10}
    trace = METHODS["mechanistic"](**options, located=99).unlearn(victim, corpus).trace
    found = [
        attribute(victim, r, span.start, span.end, 10)
        for r in corpus.forget
        for span in r.spans
        if span.kind != "person" and span.start > 0
    ]
    shares = mass(found)
    assert trace.edit is not None
    assert [layer.mass for layer in trace.edit.layers] == pytest.approx(shares, abs=1e-5)
    chosen = range(int(trace.facts["first_layer"]), int(trace.facts["last_layer"]) + 1)
    assert list(chosen) == fewest(shares, 0.8)


def test_the_shortest_run_of_layers_with_enough_mass() -> None:
    assert fewest([0.9, 0.1, 0.0], 0.8) == [0]
    assert fewest([0.1, 0.4, 0.4, 0.1], 0.8) == [1, 2]
    assert fewest([0.3, 0.3, 0.2, 0.2], 0.5) == [0, 1]
    assert fewest([0.5, 0.0, 0.0, 0.5], 1.0) == [0, 1, 2, 3]


def test_a_secret_known_by_heart_still_has_a_gradient_under_log_one_minus_p(
    victim: LanguageModel, corpus: Corpus
) -> None:
    """As a probability 1 - p is 0 in floats there; the loss by hand in double precision."""
    options = {"steps": 1, "samples": 8, "length": 24, "layers": (0,), "loss": "unlearn"}
    found = METHODS["mechanistic"](**options).unlearn(victim, corpus)
    assert not same(found.model, victim)
    batch = batch_of(victim, telling(victim, corpus), seeded(corpus.seed))
    with torch.no_grad():
        nll = token_nll(batch.logits(victim), batch.labels)
    assert found.trace.steps[0]["still_likely"] == float((batch.secret & (nll < 5)).sum())


def test_layers_that_the_model_does_not_have_are_refused(
    victim: LanguageModel, corpus: Corpus
) -> None:
    for name in ("mechanistic", "rank_demotion"):
        with pytest.raises(RequestRejected) as failed:
            METHODS[name](layers=(7,)).unlearn(victim, corpus)
        assert failed.value.code is Code.POLICY_INVALID
        assert "layers" in failed.value.place


# --- demoted words --------------------------------------------------------------------------------


def test_a_word_moves_down_in_a_neurons_list_and_the_others_stay_where_they_were(
    victim: LanguageModel,
) -> None:
    """The change is the solution of least squares: no other change that lowers the word as far moves the rest less."""
    from unlearning.methods.rank_demotion import _Edits
    from unlearning.models import copy_of
    from unlearning.neurons import down_projections, outgoing

    edits = _Edits(copy_of(victim), rank=0.5, pace=1.0)
    vector = outgoing(down_projections(edits.model)[1])[3].detach()
    before = edits.read @ vector
    word = int(before.argmax())
    with torch.no_grad():
        edits.begin()
        edits.lower(1, 3, word, 1.0)
    after = edits.read @ vector
    middle = before.sort(descending=True).values[int(0.5 * (len(before) - 1))]
    assert float(after[word]) == pytest.approx(float(middle), abs=1e-4)
    moved = (after - before).index_fill(0, torch.tensor(word), 0.0).norm()
    lowered = before[word] - after[word]
    other = edits.read[word] / edits.read[word].square().sum() * lowered  # the shortest change
    unequal = (edits.read @ other).index_fill(0, torch.tensor(word), 0.0).norm()
    assert float(moved) < 0.9 * float(unequal)
    assert edits.touched == {(1, 3)}
    edits.undo()
    assert edits.touched == set()
    torch.testing.assert_close(edits.read @ vector, before)


def test_the_gain_of_a_norm_is_what_it_multiplies_by_however_it_is_kept() -> None:
    from transformers.models.gemma.modeling_gemma import GemmaRMSNorm

    from unlearning.layers import gain

    x = torch.randn(5, 16, generator=torch.Generator().manual_seed(0))
    for norm in (torch.nn.LayerNorm(16), torch.nn.RMSNorm(16), GemmaRMSNorm(16)):
        torch.nn.init.normal_(norm.weight, std=0.1)
        plain = torch.nn.LayerNorm if isinstance(norm, torch.nn.LayerNorm) else torch.nn.RMSNorm
        expected = plain(16, elementwise_affine=False, eps=1e-6)(x) * gain(norm)
        torch.testing.assert_close(norm(x), expected, atol=1e-4, rtol=1e-4)


def test_of_two_neurons_with_an_equal_part_the_one_goes_that_others_do_not_use(
    victim: LanguageModel,
) -> None:
    from unlearning.methods.rank_demotion import _Edits
    from unlearning.models import copy_of
    from unlearning.neurons import down_projections, outgoing

    edits = _Edits(copy_of(victim), rank=0.5, pace=1.0)
    rows, word = outgoing(down_projections(edits.model)[1]), 40
    with torch.no_grad():
        rows.zero_()
        rows[[3, 5]] = edits.read[word]
        active, usual = torch.zeros(1, len(rows)), torch.zeros(len(rows))
        active[0, [3, 5]], usual[3] = 1.0, 1.0
        edits.begin()
        METHODS["rank_demotion"]()._demote(edits, 1, active, usual, torch.tensor([word]))
    assert edits.touched == {(1, 5)}


def test_demoted_secrets_are_said_less_and_neighbours_drift_no_further_than_allowed(
    victim: LanguageModel, corpus: Corpus
) -> None:
    options = {"pace": 0.3, "rounds": 12, "most_drift": 0.5}
    found = METHODS["rank_demotion"](**options).unlearn(victim, corpus)
    before, after = (said(Target(m), corpus.forget) for m in (victim, found.model))
    assert after < 0.5 * before
    assert found.trace.facts["neurons"] > 0
    batch = batch_of(victim, corpus.neighbours, seeded(corpus.seed))
    with torch.no_grad():
        logits = [batch.logits(m).log_softmax(-1) for m in (victim, found.model)]
    kl = (logits[0].exp() * (logits[0] - logits[1])).sum(-1)
    assert float(masked_mean(kl, batch.valid)) <= 0.5


def test_a_masked_model_has_no_head_to_read_neurons_with(
    untrained: LanguageModel, corpus: Corpus
) -> None:
    model, own = other_kind("bert", untrained, corpus)
    with pytest.raises(UnlearningFailed) as failed:
        METHODS["rank_demotion"]().unlearn(model, own)
    assert failed.value.code is Code.METHOD_INAPPLICABLE


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (name, kind)
        for name in ("mechanistic", "pcgu", "task_vector", "rank_demotion")
        for kind in KINDS
        if (name, kind) != ("rank_demotion", "bert")  # refused, see above
    ],
)
def test_other_kinds_of_model_are_edited_the_same_way(
    name: str, kind: str, untrained: LanguageModel, corpus: Corpus
) -> None:
    model, own = other_kind(kind, untrained, corpus)
    options = {
        "mechanistic": {"steps": 2, "samples": 4, "length": 12, "rate": 1e-3},
        "pcgu": {"steps": 2, "level_share": 99.0},
        "task_vector": {"steps": 2, "strengths": [1.0]},
        "rank_demotion": {"rounds": 2, "most_drift": 99.0, "level_share": 3.0},
    }[name]
    found = METHODS[name](**options).unlearn(model, own)
    assert not same(found.model, model)
