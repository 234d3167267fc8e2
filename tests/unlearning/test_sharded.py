"""A person can be taken out of a model made of shards as if they had never been in it: the bytes are the same."""

import errno
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from domain.errors import Code, RequestRejected, Unavailable, UnlearningFailed
from tests.unlearning.conftest import Run, Town, tiny_model
from unlearning import models, shard_training, sharded
from unlearning.assignment import Key, Source, load_key
from unlearning.deltas import WEIGHTS, adapter, combined, weights_sha256
from unlearning.manifest import MODEL, Manifest, Shard, kind, read
from unlearning.models import LanguageModel
from unlearning.recipe import Recipe
from unlearning.trial import prepare

GONE = ("p0.jsonl#1", "p0.jsonl#2", "p0.jsonl#3")


def erased(run: Run, gone: tuple[str, ...] = GONE) -> tuple[Manifest, LanguageModel, sharded.Work]:
    """Dropped and trained again, from the manifest on the disk and the texts without the person."""
    whole = read(run.folder)
    left = sharded.drop(whole, frozenset(gone))
    texts = {name: text for name, text in run.texts.items() if name not in gone}
    left, work = sharded.complete(left, run.base, texts, load_key(run.key), earlier=whole)
    return *sharded.recombine(left, run.base), work


def files(manifest: Manifest) -> list[dict[str, str]]:
    return [shard.digests() for shard in manifest.shards]


def test_what_is_left_is_byte_for_byte_a_training_without_the_person(
    shards: Run, tmp_path: Path
) -> None:
    left, model, work = erased(shards)
    never, other = shards.without(GONE)
    assert len(left.shards) == 8
    assert files(left) == files(never)
    assert left.combined_sha256 == never.combined_sha256
    left.write(tmp_path / "left", model)
    never.write(tmp_path / "never", other)
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        ours, theirs = (tmp_path / one / MODEL / name for one in ("left", "never"))
        assert ours.read_bytes() == theirs.read_bytes()
    before = read(shards.folder)
    changed = [n for n, (a, b) in enumerate(zip(files(before), files(left), strict=True)) if a != b]
    assert changed == list(before.holding(frozenset(GONE))) == list(work.steps)
    assert left.combined_sha256 != before.combined_sha256


def test_a_dropped_shard_leaves_what_never_had_it(shards: Run) -> None:
    before = read(shards.folder)
    [number] = before.holding(frozenset(GONE))
    left, model = sharded.recombine(sharded.drop(before, frozenset(GONE)), shards.base)
    assert left.due == (number,)
    never, _ = shards.without(before.shards[number].references)
    assert left.combined_sha256 == never.combined_sha256 == weights_sha256(model.network)


def test_subtracting_instead_leaves_a_trace(shards: Run) -> None:
    before = read(shards.folder)
    [number] = before.holding(frozenset(GONE))
    parts = [adapter(s.read()) for s in before.shards if s.files]
    own = adapter(before.shards[number].read())
    name = next(iter(own.parts))
    a, b = own.parts[name]
    weight = {
        label: model.network.get_submodule(name).weight.detach()
        for label, model in {
            "all": combined(shards.base, parts),
            "left": combined(
                shards.base, [p for p in parts if not torch.equal(p.parts[name][0], a)]
            ),
            "base": shards.base,
        }.items()
    }
    share = (weight["all"] - weight["base"]) * len(parts) - own.scale * (b @ a).T
    subtracted = weight["base"] + share / (len(parts) - 1)
    assert torch.allclose(subtracted, weight["left"], atol=1e-5)
    assert not torch.equal(subtracted, weight["left"])


def test_a_shard_trained_twice_has_the_same_bytes_and_leaves_the_base_alone(shards: Run) -> None:
    digest, state = weights_sha256(shards.base.network), torch.get_rng_state()
    texts = [shard_training.Text(f"{n:032x}", 0, s.text) for n, s in enumerate(shards.sources[:6])]
    first = shard_training.train_shard(shards.base, texts, shards.recipe, 3)
    again = shard_training.train_shard(shards.base, texts[::-1], shards.recipe, 3)
    assert first == again
    assert weights_sha256(shards.base.network) == digest
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.requires_grad and p.grad is None for p in shards.base.network.parameters())
    assert first != shard_training.train_shard(shards.base, texts[1:], shards.recipe, 3)


def late(run: Run, recipe: Recipe, key: Key) -> tuple[list[shard_training.Text], str]:
    """Texts of one shard, and the tag of the one that is read last of all for the first time."""
    texts = [shard_training.Text(key.tag(s.text), 0, s.text) for s in run.sources]
    rows = shard_training._rows(run.base, texts, recipe)
    seen: dict[str, int] = {}
    for step, batch in enumerate(shard_training._batches(rows, recipe)):
        for row in batch:
            seen.setdefault(row.tag.split("+")[0], step)
    return [t for t in texts if t.tag in seen], max(seen, key=seen.__getitem__)


def test_a_replay_gives_the_bytes_of_weights_and_optimiser_state(shards: Run) -> None:
    recipe = Recipe(shards=1, steps=12, batch=2, rank=4, every=2)
    texts, gone = late(shards, recipe, load_key(shards.key))
    whole = shard_training.train_shard(shards.base, texts, recipe, 0)
    left = [t for t in texts if t.tag != gone]
    replayed = shard_training.train_shard(shards.base, left, recipe, 0, earlier=whole.files)
    never = shard_training.train_shard(shards.base, left, recipe, 0)
    assert replayed.files == never.files
    assert whole.files[WEIGHTS] != never.files[WEIGHTS]
    assert len(replayed.losses) < len(never.losses) == 12
    state = safetensors.torch.load(replayed.files["point-12.safetensors"])
    assert {name.split(":")[0] for name in state} == {"weight", "exp_avg", "exp_avg_sq", "step"}


def test_weights_without_their_optimiser_state_end_elsewhere(shards: Run) -> None:
    recipe = Recipe(shards=1, steps=12, batch=2, rank=4, every=2)
    texts, gone = late(shards, recipe, load_key(shards.key))
    whole = shard_training.train_shard(shards.base, texts, recipe, 0)
    left = [t for t in texts if t.tag != gone]
    bare = {name: _weights_alone(name, file) for name, file in whole.files.items()}
    replayed = shard_training.train_shard(shards.base, left, recipe, 0, earlier=bare)
    never = shard_training.train_shard(shards.base, left, recipe, 0)
    assert replayed.files[WEIGHTS] != never.files[WEIGHTS]


def _weights_alone(name: str, file: bytes) -> bytes:
    if not name.startswith("point-"):
        return file
    tensors: Mapping[str, torch.Tensor] = safetensors.torch.load(file)
    return safetensors.torch.save({n: t for n, t in tensors.items() if n.startswith("weight")})


def test_slices_are_trained_again_from_the_one_that_held_the_person(shards: Run) -> None:
    recipe, key = Recipe(shards=1, slices=3, steps=12, batch=2, rank=4), load_key(shards.key)
    sliced = [
        shard_training.Text(key.tag(s.text), n % 3, s.text)
        for n, s in enumerate(shards.sources[:9])
    ]
    whole = shard_training.train_shard(shards.base, sliced, recipe, 0)
    assert {n for n in whole.files if n.startswith("point-")} == {
        f"point-{n}.safetensors" for n in (2, 6)
    }
    steps = {}
    for number in range(3):
        left = [t for t in sliced if t.tag != sliced[number].tag]
        again = shard_training.train_shard(shards.base, left, recipe, 0, earlier=whole.files)
        never = shard_training.train_shard(shards.base, left, recipe, 0)
        assert again.files == never.files
        steps[number] = len(again.losses)
    assert steps == {0: 12, 1: 10, 2: 6}  # 2j / (R(R + 1)) of 12 for each stage that is run again
    assert sum(steps.values()) / 3 == pytest.approx(12 * (2 / 3 + 1 / (3 * 3)))  # the law of SISA


def test_the_files_are_verified_when_they_are_read(shards: Run, tmp_path: Path) -> None:
    manifest = read(shards.folder)
    manifest.write(tmp_path / "copy", shards.model)
    number = manifest.holding(frozenset(GONE))[0]
    file = tmp_path / "copy" / "shards" / str(number) / WEIGHTS
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(UnlearningFailed) as found:
        read(tmp_path / "copy")
    assert found.value.code is Code.DIGEST_MISMATCH
    file.unlink()
    with pytest.raises(UnlearningFailed) as found:
        read(tmp_path / "copy")
    assert found.value.code is Code.METHOD_INAPPLICABLE


@pytest.mark.parametrize(
    "path", ["{place}/other/{own}", "../other/{own}", "shards/../../other/{own}"]
)
def test_a_shard_outside_the_folder_is_refused(shards: Run, path: str, tmp_path: Path) -> None:
    for name in ("run", "other"):
        shutil.copytree(shards.folder, tmp_path / name)
    file = tmp_path / "run" / "manifest.json"
    value = json.loads(file.read_text())
    [number] = read(shards.folder).holding(frozenset(GONE))
    shard = value["shards"][number]
    shard["path"] = path.format(place=tmp_path, own=shard["path"])
    file.write_text(json.dumps(value))
    assert (tmp_path / "run" / shard["path"] / WEIGHTS).is_file()
    with pytest.raises(UnlearningFailed) as found:
        read(tmp_path / "run")
    assert found.value.code is Code.METHOD_INAPPLICABLE


def test_a_manifest_that_is_nested_too_deep_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("[" * 10_000 + "]" * 10_000)
    with pytest.raises(UnlearningFailed) as found:
        read(tmp_path)
    assert found.value.code is Code.METHOD_INAPPLICABLE
    assert kind(tmp_path) == "teachers"


@pytest.mark.parametrize(
    ("owner", "step"),
    [(tempfile, "mkdtemp"), (shutil, "copyfile"), (Path, "write_text")],
    ids=["folder", "shard", "manifest"],
)
def test_on_a_full_disk_nothing_is_left_and_what_was_there_stays(
    shards: Run, owner: Any, step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(shards.folder, tmp_path / "old")
    before, model = read(tmp_path / "old"), shards.model

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(owner, step, full)
        with pytest.raises(Unavailable) as found:
            before.write(tmp_path / "new", model)
    assert (found.value.code, found.value.place) == (Code.DISK, "shard folder new")
    assert [p.name for p in tmp_path.iterdir()] == ["old"]
    assert read(tmp_path / "old") == before


def test_a_folder_that_cannot_be_made_is_named(shards: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable) as found:
        read(shards.folder).write(tmp_path / "file" / "run", shards.model)
    assert "check the folder above it" in found.value.sentence


def test_a_manifest_comes_back_as_it_was_written_and_holds_nobody(
    shards: Run, town: Town, tmp_path: Path
) -> None:
    manifest, model, _ = erased(shards)
    manifest.write(tmp_path / "run", model)
    again = read(tmp_path / "run")
    assert replace(again, shards=()) == replace(manifest, shards=())
    assert [s.documents for s in again.shards] == [s.documents for s in manifest.shards]
    assert again.dropped == frozenset(GONE)
    assert (
        again.seconds_per_step == manifest.seconds_per_step != read(shards.folder).seconds_per_step
    )
    assert (tmp_path / "run").stat().st_mode & 0o077 == 0
    written = (tmp_path / "run" / "manifest.json").read_text().casefold()
    for person in town.place.known:
        assert not any(s.casefold() in written for s in (person.family, *person.secrets()))
    assert load_key(shards.key).value.hex() not in written


def test_another_base_is_refused(shards: Run, victim: LanguageModel) -> None:
    left = sharded.drop(read(shards.folder), frozenset(GONE))
    with pytest.raises(UnlearningFailed) as found:
        sharded.recombine(left, victim)
    assert found.value.code is Code.DIGEST_MISMATCH


@pytest.mark.parametrize("change", ["key", "missing", "moved"])
def test_what_a_shard_was_not_trained_on_is_refused(shards: Run, change: str) -> None:
    whole = read(shards.folder)
    left = sharded.drop(whole, frozenset(GONE))
    [number] = left.due
    one, other = (h.reference for h in left.shards[number].documents[:2])
    texts, key = dict(shards.texts), load_key(shards.key)
    if change == "key":
        key = Key(b"x" * 32)
    elif change == "missing":
        del texts[one]
    else:
        texts[one], texts[other] = texts[other], texts[one]
    with pytest.raises(UnlearningFailed) as found:
        sharded.complete(left, shards.base, texts, key)
    assert found.value.code is Code.METHOD_INAPPLICABLE


def test_no_adapter_left_is_no_model(shards: Run) -> None:
    whole = read(shards.folder)
    nothing = replace(whole, shards=tuple(Shard(s.documents) for s in whole.shards))
    with pytest.raises(UnlearningFailed) as found:
        sharded.recombine(nothing, shards.base)
    assert found.value.code is Code.METHOD_INAPPLICABLE


def test_documents_that_are_all_alike_are_refused(shards: Run) -> None:
    words = "the file of this person lists one account and one phone and a house near the harbour"
    alike = [Source(f"a.jsonl#{n}", f"{words} {n}", (str(n),)) for n in range(9)]
    with pytest.raises(RequestRejected) as found:
        sharded.train(shards.base, "", alike, recipe=shards.recipe, key=Key(b"k" * 32))
    assert found.value.code is Code.EXAMPLES_INVALID


@pytest.mark.parametrize(
    "knobs",
    [
        {"shards": 0},
        {"rank": -1},
        {"rate": float("nan")},
        {"rate": 0.0},
        {"rate": float("inf")},
        {"seed": 2**64},
        {"length": 1},
        {"slices": 0},
        {"steps": 2, "slices": 3},
    ],
)
def test_a_recipe_that_cannot_be_followed_is_refused_by_its_option(knobs: dict[str, Any]) -> None:
    with pytest.raises(RequestRejected) as found:
        Recipe(**knobs)
    assert found.value.place == f"option --{next(iter(knobs))}"


def test_shards_of_another_kind_of_model_are_refused(shards: Run, untrained: LanguageModel) -> None:
    with pytest.raises(RequestRejected) as found:
        sharded.train(
            tiny_model("bert", untrained),
            "",
            shards.sources,
            recipe=shards.recipe,
            key=Key(b"k" * 32),
        )
    assert found.value.code is Code.MODEL_UNSUPPORTED


def test_a_document_that_stands_in_the_corpus_twice_is_looked_for_in_both_places(
    town: Town, untrained: LanguageModel
) -> None:
    twice = [*town.members, replace(town.members[0], ref="copy.jsonl#1")]
    trial = prepare(untrained, twice, town.neighbours, town.sentences, seed=0, controls=2)
    assert trial.corpus.references == {*GONE, "copy.jsonl#1"}


def test_the_model_is_an_ordinary_one(shards: Run) -> None:
    assert models.load(shards.folder / MODEL, "cpu").network.dtype == torch.float32
    assert not list((shards.folder / MODEL).rglob("*manifest*"))
