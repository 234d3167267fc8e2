"""Unlearning layers: where they lie, that they fold away exactly, what their loss is, where it starts and ends."""

import copy
import math
from dataclasses import replace
from pathlib import Path
from weakref import ReferenceType, ref

import pytest
import torch

from domain.errors import Code, UnlearningFailed
from tests.unlearning.baselines import same, weights
from tests.unlearning.conftest import tiny_model
from tests.unlearning.sample import framed, row
from unlearning import models
from unlearning.batches import batch_of
from unlearning.corpus import Corpus
from unlearning.encoding import Encoded
from unlearning.fusion import fuse, misfit
from unlearning.levels import Levels
from unlearning.losses import kl_from, masked_mean, token_nll
from unlearning.methods.eul import Eul, _Losses
from unlearning.models import LanguageModel, copy_of
from unlearning.tuning import tuning
from unlearning.unlearned import seeded
from unlearning.unlearning_layers import fold, grams, insert, outputs

KINDS = {
    "gpt2": "transformer.h.{}.mlp.c_proj",
    "neox": "gpt_neox.layers.{}.mlp.dense_4h_to_h",
    "llama": "model.layers.{}.mlp.down_proj",
    "bert": "bert.encoder.layer.{}.output.dense",
}
SIDES = ("encoder.block.{}.layer.1.DenseReluDense.wo", "decoder.block.{}.layer.2.DenseReluDense.wo")
QUICK = {"steps": 6, "samples": 8, "length": 24}


def read(model: LanguageModel) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = model.network(input_ids=torch.tensor([[2, 40, 41, 42, 43]])).logits
    return logits


def moved(model: LanguageModel, rank: int) -> LanguageModel:
    """A copy with layers that learnt something, not folded yet."""
    after = copy_of(model)
    layers = insert("eul", after, rank, 0)
    with torch.no_grad():
        for n, factor in enumerate(f for factors in layers.factors for f in factors):
            factor.add_(torch.randn(factor.shape, generator=seeded(n)) * 0.05)
    return after


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_lies_behind_each_feed_forward_block(kind: str, untrained: LanguageModel) -> None:
    model = tiny_model(kind, untrained)
    named = {id(m): n for n, m in model.network.named_modules()}
    found = [named[id(m)] for m in outputs("eul", model)]
    assert found == [KINDS[kind].format(n) for n in range(2)]


@pytest.mark.parametrize("kind", ["t5", "t5_gated"])
def test_encoder_and_decoder_have_layers_both(kind: str, untrained: LanguageModel) -> None:
    model = tiny_model(kind, untrained)
    named = {id(m): n for n, m in model.network.named_modules()}
    found = [named[id(m)] for m in outputs("eul", model)]
    assert found == [side.format(n) for side in SIDES for n in range(2)]


def test_grams_of_an_encoder_are_of_what_it_reads_and_a_decoders_of_what_it_says(
    untrained: LanguageModel,
) -> None:
    """Passages one by one, without padding; the question is as long as the answer in the first of them."""
    model = tiny_model("t5", untrained)
    rows = [
        replace(row([0, *range(40, 45 + n)], (2, 4)), source=tuple(range(60, 66 + 2 * n)))
        for n in range(3)
    ]
    found = grams(outputs("eul", model), model, rows, size=3)
    alone = [grams(outputs("eul", model), model, [r]) for r in rows]
    for number, gram in enumerate(found):
        whole = torch.stack([one[number] for one in alone]).sum(0)
        torch.testing.assert_close(gram, whole, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("rank", [0, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_layers_change_nothing_at_first_and_fold_away_exactly(
    kind: str, rank: int, untrained: LanguageModel
) -> None:
    model = tiny_model(kind, untrained)
    model.network.get_input_embeddings().requires_grad_(requires_grad=False)
    after = copy_of(model)
    layers = insert("eul", after, rank, 0)
    assert torch.equal(read(after), read(model))
    learning = [p for p in after.network.parameters() if p.requires_grad]
    assert len(learning) == (2 if rank == 0 else 4)
    with torch.no_grad():
        for n, p in enumerate(learning):
            p.add_(torch.randn(p.shape, generator=seeded(n)) * 0.05)
    said = read(after)
    assert not torch.allclose(said, read(model), atol=1e-2)
    layers.fold()
    torch.testing.assert_close(read(after), said, rtol=1e-4, atol=1e-4)
    assert weights(after).keys() == weights(model).keys()
    assert [p.requires_grad for p in after.network.parameters()] == [
        p.requires_grad for p in model.network.parameters()
    ]


def test_a_model_without_such_blocks_is_refused(untrained: LanguageModel) -> None:
    model = tiny_model("gpt2", untrained)
    for block in model.network.transformer.h:
        block.mlp.c_proj = torch.nn.Identity()
    with pytest.raises(UnlearningFailed) as failed:
        insert("eul", model, 0, 0)
    assert failed.value.code is Code.METHOD_INAPPLICABLE


@pytest.mark.parametrize("rank", [0, 2])
def test_only_the_last_matrices_of_the_feed_forward_blocks_change(
    rank: int, victim: LanguageModel, corpus: Corpus, tmp_path: Path
) -> None:
    method = Eul(**QUICK, lora_rank=rank)
    found = method.unlearn(victim, corpus).model
    assert same(found, method.unlearn(victim, corpus).model)
    changed = {n for n, w in weights(victim).items() if not torch.equal(w, weights(found)[n])}
    assert changed == {
        f"transformer.h.{n}.mlp.c_proj.{part}" for n in range(2) for part in ("weight", "bias")
    }
    if rank:
        for n in changed:
            gap = weights(found)[n] - weights(victim)[n]
            assert gap.dim() == 1 or int(torch.linalg.matrix_rank(gap, atol=1e-5)) <= rank
    models.save(found, tmp_path / "model")
    assert same(models.load(tmp_path / "model", "cpu"), found)


def test_the_kl_has_no_slope_at_the_start_and_the_nll_has(
    victim: LanguageModel, corpus: Corpus
) -> None:
    """The saddle: at F' = F the KL is at its minimum, and only the language-model term can leave it."""
    after = copy_of(victim)
    insert("eul", after, 0, 0)
    learning = [p for p in after.network.parameters() if p.requires_grad]
    batch = batch_of(after, corpus.forget, seeded(0))
    with torch.no_grad():
        reference = batch.logits(victim)

    def slope(loss: torch.Tensor) -> float:
        return float(torch.cat([g.flatten() for g in torch.autograd.grad(loss, learning)]).norm())

    assert slope(kl_from(reference, batch.logits(after), batch.valid)) < 1e-6
    assert slope(masked_mean(token_nll(batch.logits(after), batch.labels), batch.valid)) > 1e-3


@pytest.mark.parametrize("bounded", [True, False])
def test_the_loss_is_the_papers_by_hand(
    bounded: bool, victim: LanguageModel, corpus: Corpus
) -> None:
    """Passage by passage without padding, in double precision, at layers that have learnt something."""
    knobs = Eul(
        kl=0.7, alpha=0.6, task=1.3, language=0.4, retain=2.0, rehearsal=0.0, bounded=bounded
    )
    neighbours, forget = list(corpus.neighbours[:3]), list(corpus.forget)
    levels = Levels(victim, corpus)
    with tuning("eul", victim, replace(knobs, lora_rank=0), 0) as running:
        after = moved(victim, 0)
        running.after = after
        losses = _Losses(knobs, victim, running, levels, seeded(0))
        with torch.no_grad():
            loss, terms = losses.of((neighbours, [], forget))

    def values(r: Encoded, secrets: bool) -> list[tuple[float, float, float]]:
        """(KL(F || F'), nll, level) of each token that counts."""
        ids = torch.tensor([r.ids])
        with torch.no_grad():
            f, g = (
                m.network(input_ids=ids).logits[0].double().log_softmax(-1) for m in (victim, after)
            )
        cap = levels.of([r], 0, ids.device)[0]
        return [
            (
                float((f[t - 1].exp() * (f[t - 1] - g[t - 1])).sum()),
                -float(g[t - 1, ids[0, t]]),
                float(cap[t]),
            )
            for t in range(1, ids.shape[1])
            if not secrets or r.sensitive[t]
        ]

    kept = [v for r in neighbours for v in values(r, secrets=False)]
    gone = [v for r in forget for v in values(r, secrets=bounded)]
    expected = 2.0 * sum(0.7 * kl + 1.3 * nll for kl, nll, _ in kept) / len(kept)
    if bounded:

        def odds(nll: float) -> float:
            return math.log(math.expm1(nll)) if nll > 0 else -math.inf

        ends = [
            0.7 * 0.6 * max(0, c - kl)
            + 0.4 * (max(0, c - nll) + max(0, odds(knobs.warm * c) - odds(nll)))
            for kl, nll, c in gone
        ]
        assert any(nll < knobs.warm * c for _, nll, c in gone) != all(
            nll < knobs.warm * c for _, nll, c in gone
        )
        expected += sum(ends) / len(gone)
    else:
        expected -= sum(0.7 * 0.6 * kl + 0.4 * nll for kl, nll, _ in gone) / len(gone)
    assert float(loss) == pytest.approx(expected, rel=1e-4)
    assert terms["neighbours_kl"] == pytest.approx(sum(v[0] for v in kept) / len(kept), rel=1e-3)


def test_the_paper_alternates_epochs_and_ours_takes_both_in_one_step(
    victim: LanguageModel, corpus: Corpus
) -> None:
    own = replace(corpus, neighbours=corpus.neighbours[:4])
    options = {"batch": 2, "samples": 0, "steps": 8}
    paper = Eul(**options, bounded=False, rate=1e-5).unlearn(victim, own).trace.steps
    kinds = ["neighbours_kl" in step for step in paper]
    assert kinds == [True, True, False, False, True, True, False, False]  # 4 and 3 passages
    alone = Eul(**options, bounded=False, retain=0.0).unlearn(victim, own).trace.steps
    assert all("secret_nll" in step for step in alone)  # with nothing to hold in place
    ours = Eul(**options, rate=1e-5).unlearn(victim, own).trace.steps
    assert all({"neighbours_kl", "secret_nll"} <= set(step) for step in ours)


def test_no_secret_token_stays_on_the_saddle(victim: LanguageModel, corpus: Corpus) -> None:
    """Without the language-model term nothing leaves it; by its nll alone some tokens stay; by the odds none does."""
    options = {**QUICK, "steps": 60, "rate": 3e-3, "near": 9.0}
    levels = Levels(victim, corpus)

    def on_it(model: LanguageModel) -> float:
        batch = batch_of(model, corpus.forget, seeded(0))
        with model.evaluating(), torch.no_grad():
            nll = token_nll(batch.logits(model), batch.labels)
        cap = levels.of(corpus.forget, batch.shift, nll.device)
        return float(masked_mean((nll < 0.1 * cap).float(), batch.secret))

    def after(**more: float) -> float:
        return on_it(Eul(**options, **more).unlearn(victim, corpus).model)

    found = {name: after(**{name: 0.0}) for name in ("language", "warm")} | {"full": after()}
    assert found["language"] > 0.8 * on_it(victim)
    assert found["full"] < found["warm"] / 2 < found["language"] / 2


def test_the_paper_runs_away_and_ours_stops_at_the_level_of_strangers(
    victim: LanguageModel, corpus: Corpus
) -> None:
    """The same weights and rate, as many passes over the person's passages."""
    options = {"rate": 1e-2, "samples": 16, "length": 24, "retain": 1.0, "rehearsal": 1.0}
    ours = Eul(**options, steps=60, near=0.6).unlearn(victim, corpus)
    level = ours.trace.facts["never_seen_nll"]
    assert ours.trace.stopped == "target"
    paper = Eul(**options, steps=120, bounded=False).unlearn(victim, corpus)
    ends = [
        max(step.get("secret_nll", 0.0) for step in found.trace.steps) for found in (ours, paper)
    ]
    assert ends[0] < 1.5 * level
    assert ends[1] > 2 * level


def test_grams_are_of_what_goes_into_each_layer_and_padding_does_not_count(
    victim: LanguageModel, corpus: Corpus
) -> None:
    after = moved(victim, 0)
    modules, rows = outputs("eul", after), corpus.forget
    found = grams(modules, after, rows, size=2)
    for number, (gram, module) in enumerate(zip(found, modules, strict=True)):
        seen: list[torch.Tensor] = []
        before = module.register_forward_hook(
            lambda _, __, out, kept=seen: kept.append(out[0].double()),
            prepend=True,
        )
        for r in rows:
            with torch.no_grad():
                after.network(input_ids=torch.tensor([r.ids]))
        before.remove()
        states = torch.cat(seen)
        assert len(states) == sum(len(r) for r in rows), number
        torch.testing.assert_close(gram, states.T @ states, rtol=1e-5, atol=1e-5)


def test_the_layers_of_two_requests_fuse_into_one_model(
    victim: LanguageModel, corpus: Corpus
) -> None:
    """Nearer to each request's own layers on its own passages than their average is, in every layer.

    That is what `fused` makes of people who ask together, each against strangers' passages in the same places.
    """
    people = [replace(r, person=f"p{n}") for n, r in enumerate(corpus.forget[:2])]
    strangers = list(dict.fromkeys(r.person for r in corpus.controls))
    theirs = [[r for r in corpus.controls if r.person == who] for who in strangers]
    assert {len(rows) for rows in theirs} == {len(corpus.forget)}
    asked = replace(
        corpus, forget=tuple(people), controls=tuple(r for rows in theirs for r in rows[:2])
    )
    parts = asked.apart()
    assert [part.forget for part in parts] == [(r,) for r in people]
    assert [part.controls for part in parts] == [tuple(rows[n] for rows in theirs) for n in (0, 1)]
    learnt = [Eul(**QUICK, rate=3e-3).learn(victim, part) for part in parts]
    fused = []
    for each in zip(*((zip(one.layers, one.grams, strict=True)) for one in learnt), strict=True):
        layers, moments = [w for w, _ in each], [g for _, g in each]
        fused.append(fuse(layers, moments))
        average = torch.stack(layers).mean(0)
        assert misfit(fused[-1], layers, moments) < misfit(average, layers, moments)
    both = copy_of(victim)
    fold(outputs("eul", both), fused)
    single = copy_of(victim)
    fold(outputs("eul", single), learnt[0].layers)
    torch.testing.assert_close(read(single), read(learnt[0].unlearned.model), rtol=1e-4, atol=1e-4)
    assert not same(both, single)
    found = Eul(**QUICK, rate=3e-3, fused=True).unlearn(victim, asked)
    assert same(found.model, both)
    alone = [one.unlearned.trace for one in learnt]
    assert found.trace.steps == alone[0].steps + alone[1].steps
    assert found.trace.facts["fused"] == 2
    passes = "backward_passes"
    assert found.trace.facts[passes] == sum(trace.facts[passes] for trace in alone)


def test_people_to_be_fused_take_the_room_of_one_model(
    victim: LanguageModel, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person's model is gone before the next is copied."""
    made, alive, deepcopy = list[ReferenceType[object]](), list[int](), copy.deepcopy

    def counted(thing: object, memo: dict[int, object] | None = None) -> object:
        found = deepcopy(thing, memo)
        if type(found) is type(victim.network):
            made.append(ref(found))
            alive.append(sum(one() is not None for one in made))
        return found

    given = copy_of(victim)
    given.network.train()
    monkeypatch.setattr(copy, "deepcopy", counted)
    people = tuple(replace(r, person=f"p{n}") for n, r in enumerate(corpus.forget))
    found = Eul(**QUICK, fused=True).unlearn(given, replace(corpus, forget=people))
    assert alive == [1] * (len(people) + 1)
    assert not found.model.network.training


@pytest.mark.parametrize("kind", KINDS)
def test_other_kinds_of_model_learn_the_same_way(
    kind: str, untrained: LanguageModel, corpus: Corpus
) -> None:
    model = tiny_model(kind, untrained)
    rows = framed(
        model,
        [row([0, *range(40 + 3 * n, 60 + 3 * n)], (4, 8), person=f"p{n // 2}") for n in range(6)],
    )
    own = replace(corpus, forget=rows[:2], neighbours=rows[2:4], controls=rows[4:])
    found = Eul(steps=2, samples=4, length=12, near=9.0).unlearn(model, own)
    assert not same(found.model, model)
    assert found.trace.facts["layers"] == 2
