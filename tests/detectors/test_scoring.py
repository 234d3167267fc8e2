"""A model in a folder says yes or no to what has the looks of something private."""

import math

import pytest

from detectors.annotation import NoAnswerError
from detectors.annotator import Annotator
from detectors.candidates import candidates, kind
from detectors.scoring import Scoring, question
from domain.errors import DetectionFailed
from domain.records import Owner
from tests.detectors.conftest import document, person

TEXT = (
    "Maren Tolvik is the only dentist in Halden and has had epilepsy since childhood. She works at the harbour "
    "office; her brother Jon keeps bees. Call 212-555-0137. The ferry leaves at noon."
)
EXPECTED = {
    "Maren Tolvik": "person",
    "only dentist in Halden": "other",
    "epilepsy": "other",
    "harbour office": "other",
    "Jon": "other",
    "212-555-0137": "phone",
}


def test_candidates_are_phrases_names_and_numbers_and_never_bare_function_words():
    found = [TEXT[start:end] for start, end in candidates(TEXT)]
    assert {part: kind(part).value for part in found}.items() >= EXPECTED.items()
    assert not {"She", "The", "is", "the", "and", "at", "her"} & set(found)
    assert candidates("") == candidates("... !?\n") == []


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A causal model that knows nothing, and the tokenizer of these words."""
    from unlearning import models, training

    path = tmp_path_factory.mktemp("scoring") / "model"
    asked = question(["Maren Tolvik"], TEXT, (0, 5))
    tokenizer = training.train_tokenizer([f"{asked} yes no"] * 3, 400)
    models.save(training.new_model(tokenizer, width=32, layers=1, context=192, seed=1), path)
    return path


def test_the_score_is_the_likelihood_of_yes_against_no(folder):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    at = TEXT.index("epilepsy")
    got = Scoring(str(folder)).judge(["Maren Tolvik"], TEXT, (at, at + 8))
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    asked = tokenizer(question(["Maren Tolvik"], TEXT, (at, at + 8)))["input_ids"]
    logs = []
    for word in (" yes", " no"):
        total, ids = 0.0, list(asked)
        for token in tokenizer(word, add_special_tokens=False)["input_ids"]:
            with torch.no_grad():
                logits = model(torch.tensor([ids])).logits[0, -1]
            total += torch.log_softmax(logits, -1)[token].item()
            ids.append(token)
        logs.append(math.exp(total))
    assert got.score == pytest.approx(logs[0] / sum(logs), abs=1e-4)
    assert 0 < got.score < 1


def test_the_scores_decide_whose_a_part_is(folder, monkeypatch):
    scores = {"epilepsy": 0.9, "harbour office": 0.5, "212-555-0137": 0.95}
    monkeypatch.setattr(
        Scoring, "_score", lambda *asked: scores.get(asked[2][slice(*asked[3])], 0.01)
    )
    spans = Annotator("scoring", str(folder)).find(document(TEXT), person(name="Maren Tolvik"))
    assert [(TEXT[s.start : s.end], s.kind.value, s.owner) for s in spans] == [
        ("epilepsy", "other", Owner.SUBJECT),
        ("harbour office", "other", Owner.UNCERTAIN),
        ("212-555-0137", "phone", Owner.SUBJECT),
    ]


def test_a_model_that_says_yes_to_everything_stops_the_search(folder, monkeypatch):
    monkeypatch.setattr(Scoring, "_score", lambda *_: 1.0)
    with pytest.raises(DetectionFailed) as caught:
        Annotator("scoring", str(folder)).find(document(TEXT * 3), person(name="Jon Aske"))
    assert "share of the document" in caught.value.remedy


def test_a_text_longer_than_the_model_reads_is_cut_around_the_part_and_never_the_part(folder):
    judge, at = Scoring(str(folder)), len(TEXT) * 7
    assert 0 < judge.judge(["Maren Tolvik"], TEXT * 15, (at, at + 12)).score < 1
    with pytest.raises(NoAnswerError, match="tokens that the model can read"):
        judge.judge(["Maren Tolvik"], TEXT * 15, (0, at))


def test_the_persons_names_are_disguised_and_nobody_elses():
    names = ["Maren de Tolvik", "Mar"]
    asked = question(names, "Maren de Tolvik met Mar, Tolvik, Marenka and de Groot.", (16, 19))
    assert asked == (
        "SUBJECT met SUBJECT, SUBJECT, Marenka and de Groot.\n\n"
        "SUBJECT [[met]] SUBJECT, SUBJECT, Marenka and de\nPrivate about SUBJECT:"
    )


@pytest.mark.parametrize("break_it", ["missing", "empty", "pickle"])
def test_a_folder_without_a_model_in_safetensors_is_an_error(folder, tmp_path, break_it):
    import shutil

    path = tmp_path / "model"
    if break_it == "empty":
        path.mkdir()
    if break_it == "pickle":
        shutil.copytree(folder, path)
        (path / "model.safetensors").rename(path / "pytorch_model.bin")
    annotator = Annotator("scoring", str(path))
    with pytest.raises(DetectionFailed) as caught:
        annotator.find(document(TEXT), person(name="Maren Tolvik"))
    assert "safetensors" in caught.value.remedy
    with pytest.raises(DetectionFailed):
        annotator.check()


def test_a_model_that_is_there_is_well(folder):
    Annotator("scoring", str(folder)).check()
