"""What a trial is about, and what a model is trained on again: texts with their answers and classes."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from domain.errors import Code, RequestRejected
from domain.records import Passage
from flows.bench import Paths
from flows.catalog import load_catalog
from flows.copies import Copies
from flows.subjects import redacted_texts
from unlearning.models import Kind

ROWS = [
    {"text": "Ask: who? Answer: Maren.", "topic": "LABEL_1"},
    {"text": "The harbour was quiet.", "topic": "0"},
]


def bench_of(home: Path) -> SimpleNamespace:
    paths = Paths(home / "home", "er-0000000000000000")
    stores = SimpleNamespace(catalog=load_catalog(home / "catalog.yaml"))
    return SimpleNamespace(stores=stores, paths=paths)


def model_of(kind: Kind) -> SimpleNamespace:
    """What is asked of a model here: its kind, and the names of its classes."""
    config = SimpleNamespace(label2id={"LABEL_0": 0, "LABEL_1": 1})
    return SimpleNamespace(kind=kind, choices=2, network=SimpleNamespace(config=config))


def read(home: Path, kind: Kind, entry: str, rows: list[dict[str, str]]) -> list[Passage]:
    """The texts of a corpus of these rows, listed with these fields."""
    (home / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (home / "catalog.yaml").write_text(
        f"corpora:\n  rows: {{path: rows.jsonl{entry}}}\n"
        "models:\n  both: {path: model, corpora: [rows]}\n"
    )
    return list(redacted_texts(bench_of(home), "both", model_of(kind)))


def test_the_text_to_train_again_is_that_of_the_redacted_copy(lethe_home):
    bench, model = bench_of(lethe_home), model_of(Kind.CAUSAL)

    def texts():
        return [p.text.reveal() for p in redacted_texts(bench, "both", model)]

    assert texts() == ["The harbour was quiet.\n"] * 2
    copies = Copies(bench.paths.redacted("archive"))
    copy = copies.free(bench.paths.ref)
    copy.mkdir()
    (copy / "letters.txt").write_text("The [erased] was quiet.\n")
    copies.switch(copy)
    assert texts() == ["The harbour was quiet.\n", "The [erased] was quiet.\n"]


def test_the_catalog_says_behind_which_words_an_answer_begins(lethe_home):
    found = read(lethe_home, Kind.SEQ2SEQ, ', answer_after: "Answer:"', ROWS)
    assert [p.answer for p in found] == [len("Ask: who? Answer:"), None]


def test_a_class_is_named_as_in_the_models_configuration_or_by_its_number(lethe_home):
    assert [p.label for p in read(lethe_home, Kind.CLASSIFIER, ", label_field: topic", ROWS)] == [
        1,
        0,
    ]


def test_models_of_other_kinds_are_not_asked_for_answers_and_classes(lethe_home):
    entry = ', answer_after: "Answer:", label_field: absent'
    found = read(lethe_home, Kind.CAUSAL, entry, ROWS)
    assert {(p.answer, p.label) for p in found} == {(None, None)}


def test_a_classifier_whose_corpus_names_no_classes_is_refused(lethe_home):
    with pytest.raises(RequestRejected) as refused:
        read(lethe_home, Kind.CLASSIFIER, "", ROWS)
    assert refused.value.code is Code.CATALOG_INVALID


@pytest.mark.parametrize("written", ["2", "Maren", "", "-1", "²"])
def test_a_class_that_the_model_does_not_have_is_refused_by_its_row(lethe_home, written):
    rows = [*ROWS, {"text": "More.", "topic": written}]
    with pytest.raises(RequestRejected) as refused:
        read(lethe_home, Kind.CLASSIFIER, ", label_field: topic", rows)
    assert refused.value.code is Code.CORPUS_CORRUPT
    assert "rows.jsonl#3" in refused.value.sentence
    assert "Maren" not in refused.value.sentence
