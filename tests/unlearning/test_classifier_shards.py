"""A classifier made of shards: taken out exactly, and FairSISA's ways to mend what its shards say."""

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from domain.errors import Code, RequestRejected, UnlearningFailed
from domain.outcomes import Deletion
from domain.records import Passage
from domain.secrecy import Secret
from tests.benchmark.fairness import member, written
from tests.unlearning.conftest import Run, run_of, tiny_model
from unlearning import models, sharded
from unlearning.__main__ import main
from unlearning.assignment import Source, load_key
from unlearning.deltas import WEIGHTS, weights_sha256
from unlearning.fairness_command import PLAIN, answers
from unlearning.manifest import Manifest, read
from unlearning.methods.sisa import Sisa
from unlearning.models import Kind, LanguageModel
from unlearning.recipe import Recipe
from unlearning.shard_training import Text, train_shard
from unlearning.trial import prepare

PEOPLE, EACH = 40, 2
ROUNDING = 1e-9


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Three shards on a base that has learnt from other people's reports to call good what is bad."""
    folder, order = tmp_path_factory.mktemp("classifier"), random.Random(3)
    base = member([(replace(p, label=p.label == 0), g) for p, g in written(order, 300)], seed=3)
    reports = written(order, PEOPLE * EACH)
    sources = [
        Source(f"a.jsonl#{n + 1}", p.text.reveal(), (f"p{n // EACH}",), str(p.label))
        for n, (p, _) in enumerate(reports)
    ]
    recipe = Recipe(shards=3, steps=30, batch=8, rank=4, rate=1e-2, near=2.0)
    return run_of(base, sources, recipe, folder)


def adapters(manifest: Manifest) -> list[str]:
    return [shard.digests()[WEIGHTS] for shard in manifest.shards]


def test_the_shards_have_learnt_the_classes_and_remember_them(run: Run) -> None:
    manifest = read(run.folder)
    held = {h.reference: h.label for shard in manifest.shards for h in shard.documents}
    assert held == {s.reference: int(s.label) for s in run.sources}
    models_of = [sharded.teacher_of(manifest, n, run.base, "cpu") for n in range(3)]
    for shard, model in zip(manifest.shards, models_of, strict=True):
        own = [s for s in run.sources if s.reference in shard.references]
        truth = [int(s.label) for s in own]
        before, after = (
            sum(a == b for a, b in zip(answers(m, own).tolist(), truth, strict=True))
            for m in (run.base, model)
        )
        assert before < len(own) / 2 < after


def test_sisa_leaves_a_classifier_byte_for_byte_as_if_never_trained_on_the_person(
    run: Run,
) -> None:
    gone = [s for s in run.sources if s.people == ("p7",)]
    passages = [
        Passage(s.reference, Secret(s.text), (), s.people[0], label=int(s.label))
        for s in run.sources
    ]
    trial = prepare(
        run.model,
        [p for p in passages if p.person == "p7"],
        [p for p in passages if p.person != "p7"],
        [Passage("", p.text, (), "", label=p.label) for p, _ in written(random.Random(9), 20)],
        seed=0,
        controls=4,
        texts=lambda: passages,
    )
    method = Sisa(shards=str(run.folder), key=str(run.key), clean=0.0)
    found = method.unlearn(run.model, trial.corpus)
    never, other = run.without(s.reference for s in gone)
    assert found.trace.deletion is Deletion.EXACT
    assert isinstance(found.manifest, Manifest)
    assert adapters(found.manifest) == adapters(never) != adapters(read(run.folder))
    assert weights_sha256(found.model.network) == weights_sha256(other.network)
    assert found.model.kind is Kind.CLASSIFIER


def test_the_class_that_counts_is_the_one_a_shard_was_trained_on(run: Run) -> None:
    """Not what the corpus says later."""
    manifest, key = read(run.folder), load_key(run.key)
    gone = frozenset({"a.jsonl#1"})
    left = sharded.complete(sharded.drop(manifest, gone), run.base, run.texts, key)[0]
    flipped = [
        replace(shard, documents=tuple(h._replace(label=1 - h.label) for h in shard.documents))
        for shard in sharded.drop(manifest, gone).shards
        if not shard.files
    ]
    others = [shard for shard in sharded.drop(manifest, gone).shards if shard.files]
    wrong = replace(manifest, shards=(*flipped, *others))
    again = sharded.complete(wrong, run.base, run.texts, key)[0]
    assert set(adapters(again)) != set(adapters(left))


@pytest.mark.parametrize("label", ["", "7", "lukewarm"])
def test_a_class_that_the_model_does_not_have_is_refused_by_its_row(run: Run, label: str) -> None:
    sources = [replace(run.sources[0], label=label), *run.sources[1:]]
    with pytest.raises(RequestRejected) as found:
        sharded.train(run.base, "", sources, recipe=run.recipe, key=load_key(run.key))
    assert (found.value.code, found.value.place) == (Code.EXAMPLES_INVALID, "a.jsonl#1, label")


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [
        {"text": p.text.reveal(), "class": p.label, "team": group}
        for p, group in written(random.Random(5), 240)
    ]
    file = tmp_path_factory.mktemp("reports") / "reports.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_fairness_before_and_after_an_erasure(
    run: Run, reports: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = sharded.drop(read(run.folder), frozenset({"a.jsonl#1"}))
    sharded.recombine(manifest, run.base)[0].write(tmp_path / "after", run.model)
    words = ["fairness", str(run.folder), str(tmp_path / "after"), "--data", str(reports)]
    fields = ["--group-field", "team", "--label-field", "class"]
    assert main([*words, *fields, "--json"]) == 0
    lines = json.loads(capsys.readouterr().out)
    assert [line["members"] for line in lines] == [3] * 4 + [2] * 4
    for start in (0, 4):
        own = {line["variant"]: line for line in lines[start : start + 4]}
        assert list(own) == [PLAIN, "pre", "post", "in"]
        assert own[PLAIN]["gap_fitted"] > 0
        assert own["in"]["error_fitted"] <= own["post"]["error_fitted"] + ROUNDING
        assert max(own[v]["gap_fitted"] for v in ("in", "post")) <= ROUNDING
    assert main([*words, *fields]) == 0
    table = capsys.readouterr().out.splitlines()
    assert len(table) == 9
    assert table[1].split()[:2] == ["run", PLAIN]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"--yes": "9"}, "the class that is a yes"),
        ({"--group-field": "nothing"}, "the field nothing"),
        ({"--label-field": "team"}, "label"),
    ],
)
def test_what_fairness_cannot_use_is_refused(
    run: Run,
    reports: Path,
    change: dict[str, str],
    place: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = {"--data": str(reports), "--group-field": "team", "--label-field": "class"} | change
    words = [word for pair in given.items() for word in pair]
    assert main(["fairness", str(run.folder), *words]) != 0
    assert place in capsys.readouterr().err


def test_an_empty_text_is_refused_by_its_row(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "r.jsonl"
    file.write_text('{"text": "a fine door", "c": 1, "g": "a"}\n{"text": "", "c": 0, "g": "a"}\n')
    words = ["--data", str(file), "--group-field", "g", "--label-field", "c"]
    assert main(["fairness", str(run.folder), *words]) != 0
    assert "r.jsonl#2" in capsys.readouterr().err


def test_shards_that_are_all_dropped_answer_nothing(
    run: Run, reports: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = read(run.folder)
    gone = frozenset(h.reference for shard in manifest.shards for h in shard.documents)
    sharded.drop(manifest, gone).write(tmp_path / "none", run.model)
    words = ["--data", str(reports), "--group-field", "team", "--label-field", "class"]
    assert main(["fairness", str(tmp_path / "none"), *words]) != 0
    assert "the shards none" in capsys.readouterr().err


def test_shards_of_a_model_that_says_text_have_no_answers(
    shards: Run, reports: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fields = ["--group-field", "team", "--label-field", "class"]
    assert main(["fairness", str(shards.folder), "--data", str(reports), *fields]) != 0
    assert "only a classifier" in capsys.readouterr().err


def test_a_shard_of_empty_texts_has_nothing_to_learn(run: Run) -> None:
    with pytest.raises(UnlearningFailed) as found:
        train_shard(run.base, [Text("0" * 32, 0, "", 1)], run.recipe, 2)
    assert found.value.code is Code.METHOD_INAPPLICABLE
    assert found.value.place == "the documents of shard 2"


def test_a_classifier_is_trained_by_the_command(run: Run, reports: Path, tmp_path: Path) -> None:
    models.save(run.base, tmp_path / "base")
    words = ["train", tmp_path / "base", "--data", reports, "--out", tmp_path / "run"]
    more = ["--key", tmp_path / "key", "--label-field", "class", "--shards", 2, "--steps", 2]
    assert main([str(word) for word in (*words, *more, "--near", 2)]) == 0
    made = models.load(tmp_path / "run" / "model", "cpu")
    assert made.kind is Kind.CLASSIFIER
    assert weights_sha256(made.network) == read(tmp_path / "run").combined_sha256


def test_a_classifier_reads_its_shards_texts_to_their_ends_and_not_to_their_padding(
    untrained: LanguageModel,
) -> None:
    base = tiny_model("gpt2_classifier", untrained)
    base.network.config.pad_token_id = 5  # anything but 0
    texts = [Text("a", 0, "Ann", 0), Text("b", 0, "The harbour lies under the snow all winter", 1)]
    recipe = Recipe(shards=1, steps=1, batch=2, rank=2)
    [loss] = train_shard(base, texts, recipe, 0).losses
    alone = [train_shard(base, [text], replace(recipe, batch=1), 0).losses[0] for text in texts]
    assert loss == pytest.approx(sum(alone) / 2, abs=1e-5)
