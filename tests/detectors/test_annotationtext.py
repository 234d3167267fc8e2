"""Generated annotation tasks: the marks are what they say, and nothing that is measured on was learnt from."""

import re

import pytest

pytest.importorskip("faker")
from detectors.annotationtext import DEVELOPMENT, HELD_OUT, TRAINING, Author, read
from detectors.candidates import candidates

SETS = (TRAINING, DEVELOPMENT, HELD_OUT)


@pytest.fixture(scope="module", params=SETS)
def texts(request):
    author = Author(request.param, 3)
    return [author.write() for _ in range(600)]


def test_marks_lie_in_the_text_and_are_no_names_of_their_owner(texts):
    for written in texts:
        for private in written.private:
            assert 0 <= private.start < private.end <= len(written.text)
            assert any(map(str.isalnum, written.text[private.start : private.end]))
            assert private.category
            assert not written.is_name((private.start, private.end), private.owner)


def test_no_slot_and_no_mark_is_left_open(texts):
    left = re.compile("[\ue000-\uf8ff]|\\{[a-zA-Z.]+(?: \\w+)?\\}")
    assert not [written.text for written in texts if left.search(written.text)]


def test_several_people_have_something_private_in_many_texts_and_nobody_in_some(texts):
    owners = [len({private.owner for private in written.private}) for written in texts]
    assert {0, 1, 2} <= set(owners)
    assert sum(count > 1 for count in owners) > len(texts) / 4


def test_most_of_what_is_private_lies_in_a_candidate_that_is_to_be_answered_yes(texts):
    marks = [(written, private) for written in texts for private in written.private]
    found = sum(
        any(
            written.answer(part, private.owner)
            and part[0] < private.end
            and private.start < part[1]
            for part in candidates(written.text)
        )
        for written, private in marks
    )
    assert found / len(marks) > 0.8


def test_what_is_private_about_one_is_not_about_another(texts):
    for written in texts[:100]:
        for private in written.private:
            part = (private.start, private.end)
            others = {0, 1, 2} - {private.owner}
            assert written.answer(part, private.owner)
            assert not any(written.answer(part, other) for other in others)
            assert written.theirs(part, min(others))


def test_the_seed_decides():
    one, same, other = Author(TRAINING, 5), Author(TRAINING, 5), Author(TRAINING, 6)
    written = [one.write() for _ in range(5)]
    assert written == [same.write() for _ in range(5)]
    assert written != [other.write() for _ in range(5)]


def test_no_line_and_no_word_is_in_two_sets():
    few = {"has", "did", "fact", "text", "chat", "illness", "profession", "thing", "order"}
    learnt, development, held_out = (read(which) for which in SETS)
    for section in few:
        lines = [{line.words for line in some[section]} for some in (learnt, development, held_out)]
        plain = {"{p} {has p}.", "{p} {did p}.", "{chat}", "{word}", "{line a} {line b}"}
        assert not lines[0] & lines[1] - plain
        assert not (lines[0] | lines[1]) & lines[2] - plain
    everything = {
        line.words for lines in learnt.values() for line in lines if line.category == "words"
    }
    measured = {
        line.words for lines in held_out.values() for line in lines if line.category == "words"
    }
    assert {word for word in everything & measured if "{" not in word} == set()


def test_no_name_and_no_place_is_in_two_sets():
    def drawn(which):
        writer = Author(which, 1)._writer
        names = {name for given, family in writer.people for name in (*given, *family)}
        return names | {place for places in writer.places for place in places["city"]}

    one, two, three = map(drawn, SETS)
    assert not one & two
    assert not (one | two) & three
