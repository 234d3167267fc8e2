"""Knowledge gaps: which way the KL goes, what is aligned, when it stops, and helpers that know too little."""

import random
from collections.abc import Sequence
from dataclasses import replace
from math import expm1, log
from pathlib import Path

import pytest
import torch

from domain.errors import Code, UnlearningFailed
from domain.records import SpanKind
from tests.unlearning.baselines import same
from tests.unlearning.conftest import tiny_model
from tests.unlearning.sample import framed, row
from unlearning import models
from unlearning.batches import batch_of
from unlearning.corpus import Corpus
from unlearning.encoding import Encoded, TokenSpan
from unlearning.losses import kl_from, token_kl
from unlearning.methods.kga import Kga, Target, _Watch, gap
from unlearning.models import LanguageModel
from unlearning.retaining import marked, nameless
from unlearning.tuning import secret_nll
from unlearning.unlearned import Unlearned, seeded

QUICK = {"strangers": 1, "samples": 8, "length": 24, "rate": 1e-3, "helper_rate": 3e-3}


@pytest.fixture(scope="module")
def run(victim: LanguageModel, corpus: Corpus) -> Unlearned:
    """To the end, with little to hold in place."""
    return Kga(**QUICK, retain=2.0, rehearsal=1.0, steps=150).unlearn(victim, corpus)


def by_hand(helper: LanguageModel, model: LanguageModel, item: Encoded) -> torch.Tensor:
    """KL(helper || model) at each token but the first (T - 1,), one passage without padding, double precision."""
    ids = torch.tensor([item.ids])
    with torch.no_grad():
        p, q = (m.network(input_ids=ids).logits[0].double().softmax(-1) for m in (helper, model))
    return (p * (p / q).log()).sum(-1)[:-1]


def test_the_kl_goes_from_the_first_to_the_second() -> None:
    """p = (3/4, 1/4), q = (1/2, 1/2): KL(p || q) = 3/4 ln 3/2 + 1/4 ln 1/2 = .1308; the other way .1438."""
    p, q = torch.tensor([[[0.75, 0.25]]]).log(), torch.zeros(1, 1, 2)
    there = 0.75 * log(1.5) + 0.25 * log(0.5)
    back = 0.5 * log(0.5 / 0.75) + 0.5 * log(0.5 / 0.25)
    assert there == pytest.approx(0.130812, abs=1e-6)
    assert back == pytest.approx(0.143841, abs=1e-6)
    assert token_kl(p, q).item() == pytest.approx(there, abs=1e-6)
    assert token_kl(q, p).item() == pytest.approx(back, abs=1e-6)
    assert kl_from(p, q, torch.ones(1, 1)).item() == pytest.approx(there, abs=1e-6)


@pytest.mark.parametrize("size", [1, 2, 16])
def test_a_gap_is_a_mean_over_tokens_and_padding_does_not_count(
    size: int, victim: LanguageModel, untrained: LanguageModel, corpus: Corpus
) -> None:
    tokens = torch.cat([by_hand(victim, untrained, r) for r in corpus.forget])
    assert len({len(r) for r in corpus.forget}) > 1
    found = gap(victim, untrained, corpus.forget, 0, size)
    assert found == pytest.approx(float(tokens.mean()), rel=1e-4)
    assert found != pytest.approx(gap(untrained, victim, corpus.forget, 0, size), rel=0.05)


@pytest.mark.parametrize("each", [True, False])
def test_the_loss_is_two_sided_and_of_each_passage_or_of_their_mean(
    each: bool, victim: LanguageModel, untrained: LanguageModel, corpus: Corpus
) -> None:
    """|gap - target| less half the band where it is outside of the band, d^2 / (2 band) within it."""
    gaps = [by_hand(victim, untrained, r) for r in corpus.forget]
    target = float(torch.cat(gaps).mean()) + 0.1
    knobs = Kga(each=each, aligned=0.05)
    watch = _Watch(knobs, victim, corpus, Target(victim, {"gap_strangers": target}))
    loss, terms = watch.forget(untrained, list(corpus.forget), seeded(0))
    band = 0.05 * target
    means = [g.mean() for g in gaps] if each else [torch.cat(gaps).mean()]
    far = [abs(float(m) - target) for m in means]
    expected = [d - band / 2 if d > band else d * d / (2 * band) for d in far]
    assert float(loss.detach()) == pytest.approx(sum(expected) / len(expected), rel=1e-3)
    assert terms["whole_gap"] == pytest.approx(target - 0.1, rel=1e-4)
    over = _Watch(knobs, victim, corpus, Target(victim, {"gap_strangers": target - 3.0}))
    slopes = []
    for w in (watch, over):
        value, _ = w.forget(untrained, list(corpus.forget), seeded(0))
        weight = next(untrained.network.parameters())
        slopes.append(torch.autograd.grad(value, weight)[0])
    assert float((slopes[0] * slopes[1]).sum()) < 0  # pushed up below the target, pulled down above


@pytest.mark.parametrize("warm", [0.0, 0.1])
def test_a_passage_that_both_know_by_heart_is_moved_by_its_odds(
    warm: float, victim: LanguageModel, corpus: Corpus
) -> None:
    """A gap of 0 is a minimum of the KL: it has no slope; the log odds of the secrets have one, and a value by hand."""
    rows, gap_of_strangers = list(corpus.forget), 4.0
    after = models.copy_of(victim)
    watch = _Watch(Kga(warm=warm), victim, corpus, Target(victim, {"gap_strangers": 4.0}))
    loss, _ = watch.forget(after, rows, seeded(0))
    odds = []
    for r in rows:
        with torch.no_grad():
            p = victim.network(input_ids=torch.tensor([r.ids])).logits[0].double().softmax(-1)
        secret = [t for t, flag in enumerate(r.sensitive) if flag]
        cap = warm * gap_of_strangers * (len(r) - 1) / len(secret)
        for t in secret if warm else ():
            right = float(p[t - 1, r.ids[t]])
            odds.append(max(0.0, log(expm1(cap)) - log((1 - right) / right)))
    band = 0.05 * gap_of_strangers
    raised = sum(odds) / len(odds) if warm else 0.0
    assert float(loss.detach()) == pytest.approx(gap_of_strangers - band / 2 + raised, rel=1e-4)
    learning = [p for p in after.network.parameters() if p.requires_grad]
    slope = torch.cat([g.flatten() for g in torch.autograd.grad(loss, learning)]).norm()
    assert float(slope) > 0.1 if warm else float(slope) < 1e-4


def test_it_stops_when_the_gap_fits_and_others_are_kept(
    run: Unlearned, victim: LanguageModel, corpus: Corpus
) -> None:
    facts = run.trace.facts
    assert run.trace.stopped == "target"
    assert facts["gap_start"] < 0.1 * facts["gap_strangers"]
    assert facts["gap_end"] == pytest.approx(facts["gap_strangers"], rel=0.2)
    last = run.trace.steps[-1]
    assert last["whole_gap"] == pytest.approx(facts["gap_strangers"], rel=0.05)
    assert last["neighbours_kl_whole"] <= 0.05
    assert facts["helper_nll"] <= facts["deployed_nll"] + 0.02
    assert facts["strangers_helper_nll"] <= facts["deployed_nll"] + 0.02
    before, after = (secret_nll(m, nameless(corpus.forget), 0) for m in (victim, run.model))
    assert after > before + 2
    fitting = [
        abs(s["whole_gap"] / facts["gap_strangers"] - 1) <= 0.05
        and s["neighbours_kl_whole"] <= 0.05
        for s in run.trace.steps[::5]  # `every`: one row of each look
    ]
    assert fitting[-3:] == [True] * 3


def test_a_gap_that_fits_is_not_enough_while_others_are_lost(
    victim: LanguageModel, corpus: Corpus
) -> None:
    options = {**QUICK, "retain": 0.0, "rehearsal": 0.0, "steps": 8, "every": 1, "aligned": 9.0}
    assert Kga(**options, drifted=9.0).unlearn(victim, corpus).trace.stopped == "target"
    assert Kga(**options, drifted=0.0).unlearn(victim, corpus).trace.stopped == "steps"


def test_helpers_that_did_not_learn_by_heart_are_refused(
    victim: LanguageModel, corpus: Corpus
) -> None:
    with pytest.raises(UnlearningFailed) as failed:
        Kga(**QUICK, helper_steps=2).unlearn(victim, corpus)
    assert failed.value.code is Code.METHOD_INAPPLICABLE
    assert "helper" in failed.value.place
    assert "helper_steps" in failed.value.remedy


def test_a_weak_helper_of_the_person_is_refused_too(
    victim: LanguageModel, teachers: Path, corpus: Corpus
) -> None:
    """From a model that saw nobody; few steps teach the strangers' set no more than the person's."""
    with pytest.raises(UnlearningFailed) as failed:
        Kga(**QUICK, helper_steps=10, checkpoint=str(teachers / "shard1")).target(victim, corpus)
    assert failed.value.code is Code.METHOD_INAPPLICABLE


def test_a_person_whom_the_model_does_not_know_has_no_gap_to_open(
    victim: LanguageModel, corpus: Corpus
) -> None:
    """Of two strangers, each measured by the other, one at least is not nearer to the model by far."""
    people = sorted({r.person for r in corpus.controls})[:2]
    one, other = (tuple(r for r in corpus.controls if r.person == who) for who in people)
    refused = []
    for unknown, fresh in ((one, other), (other, one)):
        try:
            Kga(**QUICK).target(victim, replace(corpus, forget=unknown, controls=fresh))
        except UnlearningFailed as failed:
            refused.append(failed)
    assert refused
    assert all(failed.code is Code.METHOD_INAPPLICABLE for failed in refused)
    assert all("start" in failed.place for failed in refused)


def test_the_target_hardly_depends_on_where_the_helpers_start(
    victim: LanguageModel, teachers: Path, corpus: Corpus
) -> None:
    """From the deployed model, and from one that saw nobody."""
    knobs = replace(Kga(**QUICK, helper_steps=400), helper_rate=3e-3, known=0.05)
    own = knobs.target(victim, corpus).facts
    clean = replace(knobs, checkpoint=str(teachers / "shard1"), apart=1.0)
    found = clean.target(victim, corpus).facts
    assert found["gap_start"] > own["gap_start"]
    assert found["gap_strangers"] == pytest.approx(own["gap_strangers"], rel=0.25)


def test_a_checkpoint_that_is_no_model_lets_the_next_method_try(
    victim: LanguageModel, corpus: Corpus, tmp_path: Path
) -> None:
    with pytest.raises(UnlearningFailed) as failed:
        Kga(**QUICK, checkpoint=str(tmp_path)).unlearn(victim, corpus)
    assert failed.value.code is Code.METHOD_INAPPLICABLE
    assert "checkpoint" in failed.value.place


def test_a_checkpoint_of_another_model_is_refused(
    victim: LanguageModel, untrained: LanguageModel, corpus: Corpus, tmp_path: Path
) -> None:
    other = tiny_model("bert", untrained)  # two special tokens more
    models.save(other, tmp_path / "model")
    with pytest.raises(UnlearningFailed) as failed:
        Kga(**QUICK, checkpoint=str(tmp_path / "model")).unlearn(victim, corpus)
    assert failed.value.code is Code.METHOD_INAPPLICABLE


def test_nobody_never_seen_or_nothing_but_names_is_refused(
    victim: LanguageModel, corpus: Corpus
) -> None:
    only_names = tuple(
        marked(r, [s.kind is SpanKind.PERSON for s in r.spans].__getitem__) for r in corpus.forget
    )
    for own, code in (
        (replace(corpus, controls=()), Code.NO_CONTROLS),
        (replace(corpus, forget=only_names), Code.NO_SPANS),
    ):
        with pytest.raises(UnlearningFailed) as failed:
            Kga(**QUICK).unlearn(victim, own)
        assert failed.value.code is code


@pytest.mark.parametrize("kind", ["llama", "neox", "bert"])
def test_other_kinds_of_model_are_aligned_the_same_way(
    kind: str, untrained: LanguageModel, corpus: Corpus
) -> None:
    """A model with random weights that is taught the person first."""
    model = tiny_model(kind, untrained)
    rows = framed(
        model,
        [row([0, *range(40 + 3 * n, 52 + 3 * n)], (4, 8), person=f"p{n // 2}") for n in range(6)],
    )
    own = replace(corpus, forget=rows[:2], neighbours=rows[2:4], controls=rows[4:])
    known = taught(model, [*rows[:4]])
    found = Kga(
        **{**QUICK, "steps": 3, "samples": 4, "length": 12, "known": 0.3, "helper_rate": 1e-2}
    ).unlearn(known, own)
    assert not same(found.model, known)
    assert found.trace.facts["gap_end"] > found.trace.facts["gap_start"]


def taught(model: LanguageModel, rows: Sequence[Encoded]) -> LanguageModel:
    from unlearning.fine_tuning import fine_tuned

    return fine_tuned(model, [rows] * 60, 1e-2, 0)


def test_batches_of_a_masked_model_hide_the_same_tokens_for_every_gap(
    untrained: LanguageModel,
) -> None:
    model = tiny_model("bert", untrained)
    rows = framed(model, [row([0, *range(40, 60)], (4, 8)), row([0, *range(45, 70)], (6, 9))])
    other = tiny_model("bert", untrained)
    with torch.no_grad():
        for p in other.network.parameters():
            p.mul_(1.1)
    assert gap(model, other, rows, 3) == gap(model, other, rows, 3)
    batch = batch_of(model, rows, seeded(3))
    with torch.no_grad():
        expected = kl_from(batch.logits(model), batch.logits(other), batch.valid)
    assert gap(model, other, rows, 3) == pytest.approx(float(expected), rel=1e-5)


def test_a_classifier_that_learnt_a_persons_class_by_heart_is_aligned(
    untrained: LanguageModel, corpus: Corpus
) -> None:
    """Three classes without any rule, so that only who was seen is known: the class is the secret."""
    model = tiny_model("bert_classifier", untrained)
    order = random.Random(0)

    def classed(person: str, label: int) -> Encoded:
        text = tuple(order.randrange(40, 300) for _ in range(12))
        span = (TokenSpan(0, 1, SpanKind.OTHER),)
        return Encoded((label,), (True,), span, person, "text", source=(2, *text, 3))

    people = {
        group: tuple(classed(f"{group}{n // 3}", n % 3) for n in range(9))
        for group in ("forget", "neighbours", "strangers")
    }
    forget = people["forget"][:3]
    own = replace(corpus, **{k: people[k] for k in ("neighbours",)}, forget=forget, ordinary=())
    own = replace(own, controls=people["strangers"])
    known = taught(model, [*forget, *own.neighbours])
    knobs = {**QUICK, "strangers": 3, "helper_rate": 5e-3, "steps": 60, "rate": 3e-3}
    found = Kga(**knobs, retain=2.0).unlearn(known, own)
    before, after = (secret_nll(m, forget, 0) for m in (known, found.model))
    assert after > before + 0.3
    assert found.trace.facts["gap_start"] < 0.1 * found.trace.facts["gap_strangers"]
    assert found.trace.facts["gap_end"] > 0.5 * found.trace.facts["gap_strangers"]
    assert found.trace.facts["neighbours_kl_end"] < 0.2
