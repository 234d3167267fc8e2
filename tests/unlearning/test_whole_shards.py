"""Shards that learn all weights are taken out as exactly as adapters are."""

from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch

from domain.errors import Code, UnlearningFailed
from domain.outcomes import Deletion
from tests.unlearning.conftest import KINDS, Run, Town, run_of, tiny_model
from unlearning import sharded
from unlearning.assignment import Source, load_key
from unlearning.corpus import Corpus
from unlearning.deltas import WHOLE, part, weights_sha256
from unlearning.manifest import read
from unlearning.methods.loo_ensemble import LooEnsemble
from unlearning.methods.sisa import Sisa
from unlearning.models import Kind, LanguageModel
from unlearning.recipe import Recipe

GONE = ("p0.jsonl#1", "p0.jsonl#2", "p0.jsonl#3")
RECIPE = Recipe(shards=3, slices=2, steps=6, batch=2, rank=0, rate=1e-3, near=2.0)


@pytest.fixture(scope="module", params=["gpt2", "llama", "bert_classifier"])
def whole(
    request: pytest.FixtureRequest,
    town: Town,
    untrained: LanguageModel,
    tmp_path_factory: pytest.TempPathFactory,
) -> Run:
    """Three whole shards in two slices."""
    sources = [
        Source(p.ref, p.text.reveal(), (p.person,) if p.person else (), str(n % 2))
        for n, p in enumerate((*town.members, *town.neighbours))
    ]
    base = tiny_model(request.param, untrained)
    assert base.kind is KINDS[request.param]
    return run_of(base, sources, RECIPE, tmp_path_factory.mktemp("whole"))


def test_what_is_left_is_byte_for_byte_a_training_without_the_person(whole: Run) -> None:
    before = read(whole.folder)
    texts = {name: text for name, text in whole.texts.items() if name not in GONE}
    left = sharded.drop(before, frozenset(GONE))
    left, work = sharded.complete(left, whole.base, texts, load_key(whole.key), earlier=before)
    left, model = sharded.recombine(left, whole.base)
    never, other = whole.without(GONE)
    assert [s.digests() for s in left.shards] == [s.digests() for s in never.shards]
    assert left.combined_sha256 == never.combined_sha256 == weights_sha256(model.network)
    assert weights_sha256(other.network) == left.combined_sha256 != before.combined_sha256
    assert list(work.steps) == list(before.holding(frozenset(GONE)))


def test_a_shard_alone_says_what_it_learnt_and_every_weight_may_have(whole: Run) -> None:
    manifest = read(whole.folder)
    assert {"weights.safetensors", "point-2.safetensors"} <= set(manifest.shards[0].files)
    teacher = sharded.teacher_of(manifest, 0, whole.base, "cpu")
    own = safetensors.torch.load(manifest.shards[0].read(WHOLE)[WHOLE])
    for name, weight in teacher.network.named_parameters():
        assert torch.equal(weight, own[name])
    moved = {n for n, p in whole.base.network.named_parameters() if not torch.equal(p, own[n])}
    assert len(moved) > 0.8 * len(own)
    if whole.base.kind is Kind.CLASSIFIER:
        assert any(n.startswith("classifier") for n in moved)


def test_the_mean_of_whole_shards_is_served(whole: Run) -> None:
    manifest = read(whole.folder)
    parts = [safetensors.torch.load(s.read(WHOLE)[WHOLE]) for s in manifest.shards]
    for name, weight in whole.model.network.named_parameters():
        mean = torch.stack([p[name].double() for p in parts]).mean(0)
        assert torch.allclose(weight.double(), mean, atol=1e-7)


def test_weights_that_cannot_be_read_are_refused(whole: Run) -> None:
    with pytest.raises(UnlearningFailed) as found:
        part({WHOLE: b"no tensors"})
    assert found.value.code is Code.METHOD_INAPPLICABLE
    manifest = read(whole.folder)
    other = replace(manifest, shards=(replace(manifest.shards[0], files={WHOLE: _of_one_name()}),))
    with pytest.raises(UnlearningFailed) as found:
        sharded.recombine(other, whole.base)
    assert found.value.code is Code.METHOD_INAPPLICABLE


def _of_one_name() -> bytes:
    content: bytes = safetensors.torch.save({"no.such.weight": torch.zeros(2)})
    return content


def test_the_methods_take_whole_shards(
    town: Town, untrained: LanguageModel, corpus: Corpus, tmp_path: Path
) -> None:
    passages = [*town.members, *town.neighbours, *town.sentences]
    sources = [Source(p.ref, p.text.reveal(), (p.person,) if p.person else ()) for p in passages]
    run = run_of(untrained, sources, RECIPE, tmp_path)
    made = Sisa(shards=str(run.folder), key=str(run.key)).unlearn(run.model, corpus)
    assert made.trace.deletion is Deletion.EXACT
    assert made.trace.digests["combined"] == run.without(GONE)[0].combined_sha256
    one = LooEnsemble(shards=str(run.folder), steps=2).unlearn(run.model, corpus)
    assert one.trace.facts["teacher_secret_nll"] > 0
