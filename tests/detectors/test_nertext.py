"""Generated sentences: the marks are names, the seed decides, and no frame is left open."""

import re

import pytest

pytest.importorskip("faker")
from detectors.nertext import Writer


@pytest.fixture(scope="module")
def texts():
    writer = Writer(3)
    return [writer.text() for _ in range(400)]


def test_marks_are_in_order_and_hold_letters(texts):
    for text, marks in texts:
        at = 0
        for start, end in marks:
            assert at <= start < end <= len(text)
            assert any(c.isalpha() for c in text[start:end])
            at = end


def test_no_slot_is_left_open(texts):
    assert not [text for text, _ in texts if re.search(r"\{[A-Za-z]+\}", text)]


def test_some_texts_name_nobody_and_some_several(texts):
    counts = {len(marks) for _, marks in texts}
    assert {0, 1, 2, 3} <= counts


def test_the_seed_decides(texts):
    writer = Writer(3)
    assert [writer.text() for _ in range(5)] == texts[:5]
