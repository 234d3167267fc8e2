"""`sisa` takes a person out exactly, or refuses and says why."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from domain.errors import Code, UnlearningFailed
from domain.outcomes import RETRAIN_ESTIMATED, Deletion
from domain.records import Passage
from domain.secrecy import Secret
from tests.unlearning.conftest import Run, run_of
from unlearning import sharded
from unlearning.assignment import create_key
from unlearning.corpus import Corpus
from unlearning.deltas import WEIGHTS, weights_sha256
from unlearning.manifest import MODEL, Manifest, read
from unlearning.methods.loo_ensemble import LooEnsemble
from unlearning.methods.sisa import Sisa
from unlearning.models import LanguageModel
from unlearning.recipe import Recipe
from unlearning.unlearned import Unlearned

GONE = frozenset({"p0.jsonl#1", "p0.jsonl#2", "p0.jsonl#3"})


def method(run: Run, **knobs: object) -> Sisa:
    return Sisa(**{"shards": str(run.folder), "key": str(run.key), **knobs})


def refused(method: Sisa, model: LanguageModel, corpus: Corpus) -> UnlearningFailed:
    with pytest.raises(UnlearningFailed) as found:
        method.unlearn(model, corpus)
    return found.value


def manifest_of(made: Unlearned) -> Manifest:
    assert made.manifest is not None
    return made.manifest


@pytest.fixture(scope="module")
def retrained(shards: Run, corpus: Corpus) -> Unlearned:
    return method(shards).unlearn(shards.model, corpus)


@pytest.fixture(scope="module")
def instant(shards: Run, corpus: Corpus) -> Unlearned:
    return method(shards, instant=True, key="").unlearn(shards.model, corpus)


def test_it_returns_the_model_that_never_saw_the_person(
    shards: Run, corpus: Corpus, retrained: Unlearned
) -> None:
    assert corpus.references == GONE
    never, other = shards.without(GONE)
    assert weights_sha256(retrained.model.network) == weights_sha256(other.network)
    trace = retrained.trace
    assert trace.deletion is Deletion.EXACT
    assert trace.digests["combined"] == never.combined_sha256
    assert trace.facts["documents_left_out"] == 3
    assert trace.facts["shards_changed"] == 1
    assert trace.facts["backward_passes"] == shards.recipe.steps


def test_an_instant_drop_trains_nothing_and_the_rest_can_be_trained_later(
    shards: Run, corpus: Corpus, instant: Unlearned, retrained: Unlearned, tmp_path: Path
) -> None:
    assert (instant.trace.deletion, instant.trace.stopped) == (Deletion.EXACT, "dropped")
    assert instant.trace.facts["backward_passes"] == 0
    assert instant.trace.facts["shards_due"] == 1
    assert instant.trace.facts["steps_due"] == shards.recipe.steps
    pace = read(shards.folder).seconds_per_step
    assert pace is not None
    assert pace > 0
    assert instant.trace.facts[RETRAIN_ESTIMATED] == shards.recipe.steps * pace
    folder = instant.save(tmp_path / "now")
    assert folder == tmp_path / "now" / MODEL
    later = method(shards, shards=str(tmp_path / "now")).unlearn(instant.model, corpus)
    assert weights_sha256(later.model.network) == weights_sha256(retrained.model.network)
    assert manifest_of(later) == replace(manifest_of(retrained), shards=manifest_of(later).shards)
    assert not manifest_of(later).due
    assert (later.trace.stopped, later.trace.facts["steps_due"]) == ("steps", 0)
    assert RETRAIN_ESTIMATED not in later.trace.facts


def test_what_comes_out_can_be_asked_again_for_somebody_else(
    shards: Run, corpus: Corpus, retrained: Unlearned, tmp_path: Path
) -> None:
    retrained.save(tmp_path / "first")
    other = replace(corpus, references=frozenset({"p1.jsonl#1", "p1.jsonl#2", "p1.jsonl#3"}))
    both = method(shards, shards=str(tmp_path / "first")).unlearn(retrained.model, other)
    never, _ = shards.without(GONE | other.references)
    assert manifest_of(both).combined_sha256 == never.combined_sha256
    assert manifest_of(both).dropped == GONE | other.references


def test_a_document_that_was_left_out_before_is_no_obstacle(
    shards: Run, corpus: Corpus, retrained: Unlearned, tmp_path: Path
) -> None:
    retrained.save(tmp_path / "first")
    joint = replace(corpus, references=frozenset({"p0.jsonl#1", "p1.jsonl#1"}))
    again = method(shards, shards=str(tmp_path / "first")).unlearn(retrained.model, joint)
    assert again.trace.facts["documents_left_out"] == 1


def test_only_the_tail_is_replayed_from_what_lies_on_the_disk(
    shards: Run, corpus: Corpus, untrained: LanguageModel, tmp_path: Path
) -> None:
    """One run of eight steps with a point every two; the second is taken out of what the first left behind."""
    recipe = replace(shards.recipe, shards=1, steps=8, every=2, near=2.0)
    run = run_of(untrained, shards.sources, recipe, tmp_path)
    folder, model, gone = run.folder, run.model, frozenset[str]()
    for person, steps in (("p0", 2), ("p4", 4)):  # first read in the steps 7 and 6
        own = frozenset(f"{person}.jsonl#{n}" for n in (1, 2, 3))
        asked = replace(corpus, references=own)
        made = method(run, shards=str(folder)).unlearn(model, asked)
        folder, model, gone = tmp_path / person, made.model, gone | own
        made.save(folder)
        left, (never, _) = read(folder), run.without(gone)
        assert left.shards[0].digests() == never.shards[0].digests()
        assert left.combined_sha256 == never.combined_sha256 == weights_sha256(model.network)
        assert made.trace.facts["backward_passes"] == steps


def test_somebody_who_is_a_whole_shard_takes_it_with_them(
    shards: Run, corpus: Corpus, untrained: LanguageModel, tmp_path: Path
) -> None:
    sources = [replace(s, people=("theirs",)) for s in shards.sources if s.reference in GONE]
    sources += [s for s in shards.sources if not s.people][:5]
    run = run_of(untrained, sources, replace(shards.recipe, shards=16), tmp_path)
    [number] = read(run.folder).holding(GONE)
    assert read(run.folder).shards[number].references == GONE
    texts = [
        Passage(s.reference, Secret(s.text), (), "") for s in sources if s.reference not in GONE
    ]
    made = method(run).unlearn(run.model, replace(corpus, texts=lambda: texts))
    never, _ = run.without(GONE)
    assert made.trace.facts["shards_emptied"] == 1
    assert made.trace.facts["backward_passes"] == 0
    assert manifest_of(made).combined_sha256 == never.combined_sha256
    now = method(run, instant=True).unlearn(run.model, corpus).trace
    assert (now.stopped, now.facts["shards_due"]) == ("steps", 0)  # nothing is left to train again


def test_where_a_drop_would_leave_no_model_the_shard_is_trained_again_at_once(
    shards: Run, corpus: Corpus, untrained: LanguageModel, tmp_path: Path
) -> None:
    run = run_of(untrained, shards.sources, replace(shards.recipe, shards=1, near=2.0), tmp_path)
    made = method(run, instant=True).unlearn(run.model, corpus)
    never, _ = run.without(GONE)
    assert (made.trace.stopped, made.trace.deletion) == ("steps", Deletion.EXACT)
    assert manifest_of(made).combined_sha256 == never.combined_sha256


def test_an_older_manifest_gives_no_estimate(shards: Run, corpus: Corpus, tmp_path: Path) -> None:
    shutil.copytree(shards.folder, tmp_path / "run")
    file = tmp_path / "run" / "manifest.json"
    value = json.loads(file.read_text())
    del value["seconds_per_step"]
    file.write_text(json.dumps(value))
    own = method(shards, shards=str(tmp_path / "run"), instant=True)
    facts = own.unlearn(shards.model, corpus).trace.facts
    assert facts["steps_due"] == shards.recipe.steps
    assert RETRAIN_ESTIMATED not in facts


@pytest.mark.parametrize("pace", [-1, float("nan"), "soon"])
def test_a_pace_that_is_no_number_of_seconds_is_refused(
    pace: object, shards: Run, tmp_path: Path
) -> None:
    value = json.loads((shards.folder / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps(value | {"seconds_per_step": pace}))
    with pytest.raises(UnlearningFailed) as found:
        read(tmp_path)
    assert found.value.code is Code.METHOD_INAPPLICABLE


def test_nothing_but_the_person_is_no_model(
    shards: Run, corpus: Corpus, untrained: LanguageModel, tmp_path: Path
) -> None:
    own = [s for s in shards.sources if s.reference in GONE]
    run = run_of(untrained, own, replace(shards.recipe, shards=1), tmp_path)
    assert refused(method(run), run.model, corpus).code is Code.METHOD_INAPPLICABLE


def test_a_base_that_knows_the_person_is_refused_as_exact(
    shards: Run, corpus: Corpus, victim: LanguageModel, tmp_path: Path
) -> None:
    run = run_of(victim, shards.sources, replace(shards.recipe, steps=1, shards=2), tmp_path)
    assert refused(method(run), run.model, corpus).code is Code.BASE_KNOWS_PERSON


def test_another_model_than_that_of_the_manifest_is_refused(
    shards: Run, corpus: Corpus, victim: LanguageModel
) -> None:
    assert refused(method(shards), victim, corpus).code is Code.DIGEST_MISMATCH


@pytest.mark.parametrize("gone", ["file", "folder", "manifest"])
def test_a_missing_shard_is_refused(gone: str, shards: Run, corpus: Corpus, tmp_path: Path) -> None:
    shutil.copytree(shards.folder, tmp_path / "run")
    number = read(shards.folder).holding(GONE)[0]
    place = tmp_path / "run" / "shards" / str(number)
    if gone == "file":
        (place / WEIGHTS).unlink()
    elif gone == "folder":
        shutil.rmtree(place)
    else:
        (tmp_path / "run" / "manifest.json").unlink()
    own = method(shards, shards=str(tmp_path / "run"))
    assert refused(own, shards.model, corpus).code is Code.METHOD_INAPPLICABLE


def test_an_adapter_that_is_more_than_a_delta_is_refused(
    shards: Run, corpus: Corpus, tmp_path: Path
) -> None:
    shutil.copytree(shards.folder, tmp_path / "run")
    file = tmp_path / "run" / "manifest.json"
    value = json.loads(file.read_text())
    for shard in value["shards"]:
        if not shard["files"]:
            continue
        config = tmp_path / "run" / shard["path"] / "adapter_config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | {"use_rslora": True}))
        del shard["files"]  # whatever lies there
    file.write_text(json.dumps(value))
    own = method(shards, shards=str(tmp_path / "run"))
    failed = refused(own, shards.model, corpus)
    assert (failed.code, failed.place) == (
        Code.METHOD_INAPPLICABLE,
        "the adapter of a shard, use_rslora",
    )


def test_a_base_with_another_tokenizer_is_refused(
    shards: Run, corpus: Corpus, tmp_path: Path
) -> None:
    """Its weights are the same, and the shards would be trained on other tokens than before."""
    shutil.copytree(Path(read(shards.folder).base), tmp_path / "base")
    file = tmp_path / "base" / "tokenizer.json"
    value = json.loads(file.read_text())
    words = value["model"]["vocab"]
    [one, other] = list(words)[-2:]
    words[one], words[other] = words[other], words[one]
    file.write_text(json.dumps(value))
    failed = refused(method(shards, base=str(tmp_path / "base")), shards.model, corpus)
    assert (failed.code, failed.place) == (Code.DIGEST_MISMATCH, "the base of the shards")


def test_unknown_documents_are_refused(shards: Run, corpus: Corpus) -> None:
    other = replace(corpus, references=GONE | {"elsewhere.jsonl#9"})
    failed = refused(method(shards), shards.model, other)
    assert failed.code is Code.METHOD_INAPPLICABLE
    assert "elsewhere" not in failed.sentence


def test_who_was_taken_out_of_the_corpus_alone_is_left_out_of_the_shard_when_it_is_trained_again(
    shards: Run, corpus: Corpus
) -> None:
    """Their own request was inconclusive, say; it must not stand in the way of all others in that shard."""
    manifest = read(shards.folder)
    [number] = manifest.holding(GONE)
    other = min(manifest.shards[number].references - GONE)

    def texts() -> list[Passage]:
        found = [text for text in corpus.texts() if isinstance(text, Passage)]
        return [replace(p, text=Secret("[NAME]")) if p.ref == other else p for p in found]

    made = method(shards).unlearn(shards.model, replace(corpus, texts=texts))
    never, _ = shards.without(GONE | {other})
    assert manifest_of(made).combined_sha256 == never.combined_sha256
    assert manifest_of(made).dropped == GONE | {other}
    assert made.trace.facts["documents_left_out"] == 4


def test_nobody_left_to_take_out_is_refused(
    shards: Run, corpus: Corpus, retrained: Unlearned, tmp_path: Path
) -> None:
    retrained.save(tmp_path / "first")
    own = method(shards, shards=str(tmp_path / "first"))
    assert refused(own, retrained.model, corpus).code is Code.METHOD_INAPPLICABLE


@pytest.mark.parametrize("change", ["no text", "twice", "moved", "no key", "no base"])
def test_what_it_cannot_train_on_is_refused(change: str, shards: Run, corpus: Corpus) -> None:
    texts = [text for text in corpus.texts() if isinstance(text, Passage)]
    own = method(shards)
    if change == "no text":
        texts = []
    elif change == "twice":
        texts += texts[:1]
    elif change == "moved":
        texts = [replace(b, ref=a.ref) for a, b in zip(texts[1:], texts, strict=False)]
    elif change == "no key":
        own = method(shards, key="")
    else:
        own = method(shards, base=str(shards.folder))
    failed = refused(own, shards.model, replace(corpus, texts=lambda: texts))
    assert failed.code is Code.METHOD_INAPPLICABLE


@pytest.mark.parametrize("instant", [False, True])
def test_somebody_elses_documents_are_not_taken_out_where_rows_changed_places(
    instant: bool, shards: Run, corpus: Corpus
) -> None:
    """All that is left of the other's shard is in its place, so that only the person's own rows tell."""
    manifest = read(shards.folder)
    [own] = manifest.holding(GONE)
    rows = [f"p{n}.jsonl#{row}" for n in range(1, 8) for row in (1, 2, 3)]
    theirs = next(
        rows[n : n + 3] for n in range(0, 21, 3) if rows[n] not in manifest.shards[own].references
    )
    places = dict(zip(sorted(GONE), theirs, strict=True))
    places |= {new: old for old, new in places.items()}
    changed = replace(
        corpus,
        references=frozenset(theirs),
        originals=tuple(replace(p, ref=places[p.ref]) for p in corpus.originals),
        texts=lambda: [
            replace(t, ref=places.get(t.ref, t.ref))
            for t in corpus.texts()
            if isinstance(t, Passage)
        ],
    )
    failed = refused(method(shards, instant=instant), shards.model, changed)
    assert (failed.code, failed.place) == (Code.METHOD_INAPPLICABLE, "the person's documents")


def test_an_instant_drop_with_another_key_is_refused(
    shards: Run, corpus: Corpus, tmp_path: Path
) -> None:
    create_key(tmp_path / "other")
    own = method(shards, instant=True, key=str(tmp_path / "other"))
    assert refused(own, shards.model, corpus).place == "the shard key"


def test_without_strangers_nobody_can_tell_whether_the_base_is_clean(
    shards: Run, corpus: Corpus
) -> None:
    bare = replace(corpus, controls=())
    assert refused(method(shards), shards.model, bare).code is Code.NO_CONTROLS


def test_its_shards_are_the_teachers_of_the_leave_one_out_ensemble(
    shards: Run, corpus: Corpus
) -> None:
    own = LooEnsemble(shards=str(shards.folder), steps=1, samples=4, length=8)
    assert own.unlearn(shards.model, corpus).trace.facts["teacher_secret_nll"] > 0
    everywhere = frozenset(name for s in read(shards.folder).shards for name in s.references)
    with pytest.raises(UnlearningFailed) as found:
        own.unlearn(shards.model, replace(corpus, references=everywhere))
    assert found.value.code is Code.METHOD_INAPPLICABLE


def test_a_teacher_is_the_base_with_the_delta_of_one_shard(shards: Run) -> None:
    manifest = read(shards.folder)
    [number, *_] = manifest.holding(GONE)
    own = sharded.teacher_of(manifest, number, shards.base, "cpu").network.state_dict()
    alone = replace(manifest, shards=(manifest.shards[number],))
    _, model = sharded.recombine(alone, shards.base)
    assert all(torch.equal(own[name], t) for name, t in model.network.state_dict().items())


def test_a_shard_that_is_a_model_is_its_own_teacher(shards: Run, teachers: Path) -> None:
    manifest = read(teachers)
    assert isinstance(sharded.teacher_of(manifest, 1, None, "cpu"), LanguageModel)
    with pytest.raises(UnlearningFailed):
        sharded.teacher_of(manifest, 0, None, "cpu")


def test_a_teacher_is_never_the_model_in_the_working_directory(
    teachers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(teachers / "shard1")
    with pytest.raises(UnlearningFailed) as found:
        sharded.teacher_of(read(teachers), 0, None, "cpu")
    assert (found.value.code, found.value.place) == (Code.METHOD_INAPPLICABLE, "shard 0")


def test_the_recipe_is_that_of_the_shards(shards: Run) -> None:
    kept = read(shards.folder).recipe
    assert replace(kept, device="cpu", threads=1, software={}) == shards.recipe
    assert set(kept.software) == {"torch", "transformers", "peft"}
    assert isinstance(kept, Recipe)
