"""The annotator's own model: trained from nothing in seconds here, and asked as the annotator asks."""

import random
from dataclasses import replace

import pytest

pytest.importorskip("faker")
from detectors.annotationtext import DEVELOPMENT, Author
from detectors.annotator import Annotator
from detectors.exact import ExactIndex
from detectors.locate import locate
from detectors.scoring import NO, YES
from flows import annotator_model
from tests.detectors.conftest import document, person
from tests.detectors.taught import DENTIST, EPILEPSY, NAMES, TEXTS, taught
from unlearning import training

TINY = replace(
    annotator_model.SIZES["cpu"], width=32, layers=1, vocabulary=400, batch=4, seconds=1.0
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return taught(tmp_path_factory.mktemp("taught") / "model")


def test_every_answer_belongs_behind_its_question_and_half_of_many_are_yes():
    author, chance = Author(DEVELOPMENT, 1), random.Random(1)
    texts = [author.write() for _ in range(40)]
    tokenizer = training.train_tokenizer([w.text + YES + NO for w in texts], 600)
    for written in texts:
        made = annotator_model.task(written, 0, tokenizer, chance)
        for place, _ in made.answers:
            assert tokenizer.decode(made.ids[: place + 1]).endswith("\nPrivate about SUBJECT:")
        answers = [answer for _, answer in made.answers]
        assert len(answers) <= 10
        assert sum(answers) <= 5
        assert not set(tokenizer(YES)["input_ids"]) & set(made.ids[-1:])


def test_training_ends_in_time_and_its_model_answers(tmp_path):
    lines: list[str] = []
    model = annotator_model.train(TINY, 1, lines.append)
    assert "answers" in lines[-1]
    annotator_model.write(model, tmp_path / "model")
    Annotator("scoring", str(tmp_path / "model")).check()
    with pytest.raises(FileExistsError):
        annotator_model.write(model, tmp_path / "model")


def test_what_it_learned_to_be_private_is_marked_as_the_persons_and_as_nobody_elses(folder):
    searchers = {"exact": ExactIndex(), "annotator": Annotator("scoring", str(folder))}
    marked = {
        (name, text[span.start : span.end])
        for text in TEXTS
        for name in NAMES
        for span in locate([document(text)], person(name=name), searchers).spans
        if span.detector == "annotator"
    }
    assert marked == {(NAMES[0], DENTIST.removeprefix("the ")), (NAMES[1], EPILEPSY)}


def test_a_policy_that_names_it_has_it_search(folder, home, lethe_home):
    from flows import desk
    from flows.bench import Bench, open_stores
    from flows.intake import load_request
    from flows.search import locate_corpus
    from tests.flows.conftest import REQUEST
    from tests.flows.test_annotator import switched_on

    (lethe_home / "letters.txt").write_text(TEXTS[0], "utf-8")

    def located() -> int:
        ref = desk.add(home.write(REQUEST))["request"]
        with open_stores() as stores:
            bench = Bench(stores, load_request(ref, stores.vault), None, 1, None)
            return locate_corpus.fn(bench, "letters")

    without = located()
    switched_on(lethe_home, backend="scoring", model=str(folder))
    assert located() == without + 1
