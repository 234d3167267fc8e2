"""Every method and attack on every kind of model: it works, or says in a typed error that it does not apply.

Causal models are what `test_methods` and `test_attacks` are about, and the second has masked ones as well.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch

from domain.errors import Code, RequestRejected, UnlearningFailed
from domain.records import Passage, SpanKind
from domain.secrecy import Secret
from tests import tiny
from tests.unlearning.asked import QUICK
from tests.unlearning.conftest import Town, tiny_model
from tests.unlearning.sample import marked
from tests.unlearning.test_methods import KNOBS, digest
from unlearning import models, training
from unlearning.attacks import ATTACKS
from unlearning.batches import batch_of
from unlearning.encoding import encode
from unlearning.fine_tuning import fine_tuned
from unlearning.losses import masked_mean, token_nll
from unlearning.methods import METHODS
from unlearning.models import Kind, LanguageModel
from unlearning.ranking import log_probabilities
from unlearning.rehearsal import rehearse
from unlearning.scoring import Target
from unlearning.trial import Trial, assess, prepare
from unlearning.tuning import stranger_nll, targets
from unlearning.verdict import READING

SHAPES = {
    Kind.CAUSAL: "gpt2",
    Kind.MASKED: "bert",
    Kind.SEQ2SEQ: "t5",
    Kind.CLASSIFIER: "bert_classifier",
}
ATTACK_SERVES: dict[Kind, set[str]] = {
    Kind.SEQ2SEQ: set(ATTACKS) - {"sampled", "prompts", "reworded", "suffix", "lens", "patching"},
    Kind.CLASSIFIER: set(READING),  # the verdict misses each of them, and no other
}
OTHERS = set(METHODS) - {"gradient_ascent", "rank_demotion", "quark", "sisa"}
"""The methods for more than causal models; `sisa` is for models trained in shards, and has tests of its own."""
METHOD_SERVES: dict[Kind, set[str]] = {
    Kind.MASKED: OTHERS,
    Kind.SEQ2SEQ: OTHERS - {"depn", "mechanistic"},
    Kind.CLASSIFIER: OTHERS - {"depn", "mechanistic", "llmu"},
}
Case = Callable[[str], tuple[LanguageModel, Trial]]


@pytest.fixture(scope="session")
def case(town: Town, untrained: LanguageModel) -> Case:
    """A tiny model of a shape that has seen its texts a few times, with a trial of its own."""

    @cache
    def made(shape: str) -> tuple[LanguageModel, Trial]:
        model = tiny_model(shape, untrained)
        rest = tuple(tiny.classed(town.neighbours[:15] + town.sentences[:12]))
        recipe = training.Pretraining(steps=60, batch=8, length=48, rate=3e-3, warm_up=5)
        recipe.run(model, [*rest, *tiny.classed(town.members)])
        trial = prepare(
            model,
            tiny.classed(town.members),
            [p for p in rest if p.person],
            [p for p in rest if not p.person],
            seed=0,
            controls=2,
            candidates=16,
            texts=lambda: rest,
        )
        return model, trial

    return made


@pytest.mark.parametrize("kind", [Kind.SEQ2SEQ, Kind.CLASSIFIER])
@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_measures_or_says_that_it_does_not_apply(
    name: str, kind: Kind, case: Case
) -> None:
    model, trial = case(SHAPES[kind])
    target = Target(
        model,
        neighbours=trial.corpus.neighbours[:4],
        ordinary=trial.corpus.ordinary[:4],
        references=(model, model),
        original=model,
        retrained=model,
    )
    attack = ATTACKS[name](**QUICK.get(name, {}))
    if name not in ATTACK_SERVES[kind]:
        with pytest.raises(RequestRejected) as refused:
            attack.run(target, trial.members, trial.controls)
        assert refused.value.code is Code.ATTACK_INAPPLICABLE
        assert name in refused.value.sentence
        return
    scores = attack.run(target, trial.members, trial.controls).scores
    assert scores
    assert all(math.isfinite(s.members.value) and math.isfinite(s.controls.value) for s in scores)


@pytest.mark.parametrize("kind", METHOD_SERVES)
@pytest.mark.parametrize("name", METHODS)
def test_a_method_forgets_or_says_that_it_does_not_apply(
    name: str, kind: Kind, case: Case, tmp_path: Path
) -> None:
    model, trial = case(SHAPES[kind])
    own: dict[str, object] = {}
    if name == "loo_ensemble":
        models.save(model, tmp_path / "shard")
        (tmp_path / "manifest.json").write_text(
            '{"shards": [{"path": "shard", "documents": ["other.jsonl#1"]}]}'
        )
        own = {"shards": str(tmp_path), "clean": 0.0}
    if name == "pcgu":
        own = {"level_share": 99.0}  # no secret is said to begin with
    if name == "kga":  # it serves a model that knows the person, and nobody else
        taught = list(trial.corpus.forget)
        if (
            kind is Kind.CLASSIFIER
        ):  # strangers' texts are much like the person's, and so is their class
            taught += [
                replace(r, ids=((r.ids[0] + 1) % tiny.CLASSES,)) for r in trial.corpus.controls
            ]
        model = fine_tuned(model, [taught] * 40, 1e-2, 0)
        # the guard at its start has tests of its own, and with one or two strangers hangs on chance
        own = {"apart": 1e9, "strangers": 2}
    method, before = METHODS[name](**{**KNOBS.get(name, {}), **own}), digest(model)
    if name not in METHOD_SERVES[kind]:
        with pytest.raises(UnlearningFailed) as failed:
            method.unlearn(model, trial.corpus)
        assert failed.value.code is Code.METHOD_INAPPLICABLE
        return
    after = method.unlearn(model, trial.corpus)
    assert digest(model) == before != digest(after.model)
    assert after.model.kind is kind
    assert after.trace.steps


@pytest.mark.parametrize("kind", [Kind.SEQ2SEQ, Kind.CLASSIFIER])
@pytest.mark.parametrize("name", ["selective_ascent", "npo"])
def test_adapters_learn_and_are_merged(name: str, kind: Kind, case: Case) -> None:
    model, trial = case(SHAPES[kind])
    after = METHODS[name](**{**KNOBS[name], "lora_rank": 2}).unlearn(model, trial.corpus).model
    ours, theirs = after.network.state_dict(), model.network.state_dict()
    assert ours.keys() == theirs.keys()
    changed = {key for key in ours if not torch.equal(ours[key], theirs[key])}
    sides = {key.partition(".")[0] for key in changed}
    assert sides == ({"encoder", "decoder"} if kind is Kind.SEQ2SEQ else {"bert"})


@pytest.mark.parametrize("shape", [*SHAPES.values(), "t5_gated", "gpt2_classifier"])
def test_the_whole_assessment_has_a_result_for_every_attack(shape: str, case: Case) -> None:
    model, trial = case(shape)
    attacks = {name: ATTACKS[name]() for name in ("extraction", "membership", "memorisation")}
    found = assess(model, "0" * 64, trial, attacks)
    assert [result.attack for result in found.attacks] == list(attacks)
    assert bool(found.attacks[0].scores) is (model.kind is not Kind.CLASSIFIER)
    assert math.isfinite(found.utility.perplexity.value)


@pytest.mark.parametrize("kind", Kind)
def test_what_the_gradient_methods_share_works_on_every_kind(kind: Kind, case: Case) -> None:
    model, trial = case(SHAPES[kind])
    assert targets(model, trial.corpus)["unpredicted"] == 0
    assert math.isfinite(stranger_nll(model, trial.corpus))
    batch = batch_of(model, trial.corpus.forget, torch.Generator().manual_seed(0))
    logits = batch.logits(model)
    assert logits.shape == (*batch.labels.shape, model.choices)
    assert batch.labels.shape == batch.secret.shape == batch.valid.shape
    assert bool(batch.secret.any(-1).all())
    assert not bool((batch.secret & ~batch.valid).any())
    nll = masked_mean(token_nll(logits, batch.labels), batch.valid)
    more = fine_tuned(model, [trial.corpus.forget] * 3, 1e-3, 0)
    batch = batch_of(model, trial.corpus.forget, torch.Generator().manual_seed(0))
    less = masked_mean(token_nll(batch.logits(more), batch.labels), batch.valid)
    assert less < nll


ASKED = "Question: what is the phone of Maren Tolvik?"
SAID = " Answer: it is 212-555-0137."


def answering(text: str, answer: int | None) -> Passage:
    item = marked(text, ("Maren Tolvik", SpanKind.PERSON), ("212-555-0137", SpanKind.PHONE))
    return replace(item, answer=answer)


@pytest.mark.parametrize("shape", ["t5", "t5_gated"])
def test_a_seq2seq_model_reads_the_question_and_says_the_answer(shape: str, case: Case) -> None:
    model, _ = case(shape)
    (row,) = encode(model, [answering(ASKED + SAID, len(ASKED))], names=True)
    decode, end = model.tokenizer.decode, model.tokenizer.eos_token_id
    assert decode(row.source[:-1]) == ASKED
    assert row.source[-1] == row.ids[-1] == end
    assert row.ids[0] == model.starts
    assert decode(row.ids[1:-1]) == SAID
    (span,) = row.spans  # the name is only read
    assert decode(row.ids[span.start : span.end]).strip() == "212-555-0137"
    assert (row.text, row.answer, row.names) == (ASKED + SAID, len(ASKED), ("Maren Tolvik",))


def test_without_an_answer_the_encoder_reads_up_to_the_first_secret_or_half(case: Case) -> None:
    model, _ = case("t5")
    text = "Call Maren Tolvik at 212-555-0137 today."
    (row,) = encode(model, [answering(text, None)])
    assert model.tokenizer.decode(row.source[:-1]) == "Call Maren Tolvik at "
    assert [s.start for s in row.spans] == [1]
    (plain,) = encode(model, [Passage("", Secret("The choir painted a map."), (), "")])
    assert model.tokenizer.decode(plain.source[:-1]) == "The choir painted"
    assert model.tokenizer.decode(plain.ids[1:-1]) == " a map."


def test_a_secret_that_is_only_read_has_no_span_and_one_cut_in_two_has_its_end(case: Case) -> None:
    model, _ = case("t5")
    text = "Call 212-555-0137, she says."
    item = replace(marked(text, ("212-555-0137", SpanKind.PHONE)), answer=text.index(","))
    assert encode(model, [item])[0].spans == ()
    (row,) = encode(model, [replace(item, answer=text.index("0137"))])
    (span,) = row.spans
    assert model.tokenizer.decode(row.ids[span.start : span.end]) == "0137"


def test_a_long_question_keeps_its_end_and_a_long_answer_is_cut_into_windows(case: Case) -> None:
    model, _ = case("t5")
    asked, said = "word " * 300 + "at last:", " said" * 200
    rows = encode(model, [Passage("", Secret(asked + said), (), "", answer=len(asked))])
    assert len(rows) > 1
    assert {len(row.source) for row in rows} == {model.context}
    assert all(model.tokenizer.decode(row.source[:-1]).endswith("at last:") for row in rows)
    assert max(map(len, rows)) <= model.context
    ends = [row.ids[-1] == model.tokenizer.eos_token_id for row in rows]
    assert ends == [False] * (len(rows) - 1) + [True]


def test_equal_answers_to_different_questions_are_scored_apart(case: Case) -> None:
    model, _ = case("t5")
    texts = ("Is it cold? Yes.", "Is the old lighthouse open? Yes.")
    rows = encode(model, [Passage("", Secret(t), (), "", answer=t.index(" Yes")) for t in texts])
    assert rows[0].ids == rows[1].ids
    one, other = Target(model).scores(rows)
    assert not torch.equal(one.log_probability, other.log_probability)


@pytest.mark.parametrize("shape", ["t5", "t5_gated"])
def test_answers_are_scored_as_the_model_itself_would(shape: str, case: Case) -> None:
    """Against transformers' own loss, which shifts the labels by itself."""
    model, trial = case(shape)
    for row, scores in zip(trial.members, Target(model).scores(trial.members), strict=True):
        with torch.no_grad():
            out = model.network(
                input_ids=torch.tensor([row.source]), labels=torch.tensor([row.ids[1:]])
            )
        ours = scores.log_probability[1:]
        assert torch.allclose(-ours.mean(), out.loss, atol=1e-5)
        assert (
            scores.hit[1:].tolist()
            == (out.logits[0].argmax(-1) == torch.tensor(row.ids[1:])).tolist()
        )


@pytest.mark.parametrize("shape", ["t5", "t5_gated"])
def test_a_seq2seq_model_rehearses_its_own_answers_about_strangers(shape: str, case: Case) -> None:
    """Each is what the model says, token by token; nobody's secrets are among what has to be forgotten."""
    model, trial = case(shape)
    corpus, generator = trial.corpus, torch.Generator().manual_seed(0)
    found = rehearse(model, corpus, 2, 12, generator)
    assert found[: len(corpus.ordinary)] == list(corpus.ordinary)
    own = found[len(corpus.ordinary) :]
    assert [row.source for row in own] == [row.source for row in corpus.controls[:2]]
    for row in own:
        assert (row.person, row.spans, any(row.sensitive)) == ("", (), False)
        said = [model.starts]
        while len(said) < 12 and said[-1] != model.tokenizer.eos_token_id:
            with torch.no_grad():
                out = model.network(
                    input_ids=torch.tensor([row.source]), decoder_input_ids=torch.tensor([said])
                )
            said.append(int(out.logits[0, -1].argmax()))
        assert list(row.ids) == said
    assert rehearse(model, corpus, 0, 12, generator) == []


def test_kinds_that_cannot_be_asked_rehearse_ordinary_text(case: Case) -> None:
    model, trial = case("bert_classifier")
    found = rehearse(model, trial.corpus, 3, 12, torch.Generator())
    assert found == list(trial.corpus.ordinary[:3])


def test_candidates_are_ranked_by_the_probability_of_the_whole_value(case: Case) -> None:
    model, trial = case("t5")
    row = next(row for row in trial.members if row.spans and row.spans[0].candidates)
    span = row.spans[0]
    found = log_probabilities(model, row, span)
    values = [row.ids[span.start : span.end], *span.candidates]
    for value, log_p in zip(values, found, strict=True):
        ids = (*row.ids[: span.start], *value)
        with torch.no_grad():
            out = model.network(
                input_ids=torch.tensor([row.source]), labels=torch.tensor([ids[1:]])
            )
        own = out.logits[0].log_softmax(-1)[range(len(ids) - 1), ids[1:]]
        assert log_p == pytest.approx(float(own[-len(value) :].sum()), abs=1e-4)


@pytest.mark.parametrize("shape", ["bert_classifier", "gpt2_classifier"])
def test_a_classifier_is_scored_as_transformers_does_alone_or_padded(
    shape: str, case: Case
) -> None:
    model, trial = case(shape)
    for row, scores in zip(trial.members, Target(model).scores(trial.members), strict=True):
        with torch.no_grad():
            out = model.network(
                input_ids=torch.tensor([row.source]), labels=torch.tensor([row.ids[0]])
            )
        assert torch.allclose(-scores.log_probability, out.loss, atol=1e-5)
        assert bool(scores.hit[0]) is (int(out.logits.argmax()) == row.ids[0])


def test_the_class_of_a_persons_text_is_the_secret_and_nobodys_is_not(case: Case) -> None:
    model, trial = case("bert_classifier")
    batch = batch_of(
        model, [*trial.members, *trial.corpus.ordinary], torch.Generator().manual_seed(0)
    )
    count = len(trial.members)
    assert bool(batch.secret[:count].all())
    assert not bool(batch.secret[count:].any())
    assert bool(batch.valid.all())


@pytest.mark.parametrize("label", [None, -1, 4])
def test_a_text_without_a_class_of_the_models_is_refused(label: int | None, case: Case) -> None:
    model, _ = case("bert_classifier")
    with pytest.raises(RequestRejected) as refused:
        encode(model, [Passage("a.jsonl#3", Secret("Anything."), (), "", label=label)])
    assert refused.value.code is Code.EXAMPLES_INVALID
    assert "a.jsonl#3" in refused.value.sentence


@pytest.mark.parametrize("kind", [Kind.SEQ2SEQ, Kind.CLASSIFIER])
def test_a_tiny_victim_learns_the_answers_and_classes_of_its_people(kind: Kind) -> None:
    place = tiny.town(1)
    with torch.random.fork_rng():
        fresh, taught = (tiny.victim(place, kind=kind, steps=n, width=32) for n in (0, 60))
    rows = encode(taught, tiny.classed(tiny.passages(place.known[0], "p0")))
    assert all(row.spans for row in rows)
    batch = batch_of(taught, rows, torch.Generator())
    before, after = (
        masked_mean(token_nll(batch.logits(model), batch.labels), batch.secret)
        for model in (fresh, taught)
    )
    assert after < before
