"""What is said of a model on generated texts is what it does there."""

import pytest

pytest.importorskip("faker")
from detectors.annotationquality import Asked, ask, best, quality
from detectors.annotationtext import HELD_OUT, Author, Private, Written

TEXT = "Maren Tolvik has epilepsy and asthma. Jon Aske is a dentist in Halden."
WRITTEN = Written(
    TEXT,
    ("Maren Tolvik", "Jon Aske", "Ivo Brann"),
    tuple(
        Private(TEXT.index(words), TEXT.index(words) + len(words), "work", owner)
        for words, owner in (("epilepsy", 0), ("asthma", 0), ("a dentist in Halden", 1))
    ),
)


def marked(**scores):
    places = {words: (TEXT.index(words), TEXT.index(words) + len(words)) for words in scores}
    return [Asked(WRITTEN, 0, {places[words]: score for words, score in scores.items()})]


def hits(found):
    return [(rate.hits, rate.trials) for rate in found]


def test_a_part_counts_where_half_of_it_is_marked_and_anothers_where_any_of_it_is():
    asked = marked(epilepsy=0.9, Halden=0.8)
    assert hits(quality(asked, 0.85)) == [(1, 2), (1, 1), (0, 1)]
    assert hits(quality(asked, 0.5)) == [(1, 2), (1, 2), (1, 1)]
    assert best(asked) == 0.85


def test_one_who_knows_touches_nobody_and_one_who_marks_everything_touches_all():
    author = Author(HELD_OUT, 4)
    everything = ask(author, 60, lambda *_: 1.0, 1)
    found = quality(everything, 0.5)
    assert found.found.value > 0.8
    assert found.touched.value > 0.8
    assert found.right.value < 0.4
    known = [
        asked._replace(
            scores={p: float(bool(asked.written.answer(p, asked.owner))) for p in asked.scores}
        )
        for asked in everything
    ]
    found = quality(known, 0.5)
    assert (found.right.value, found.touched.hits) == (1.0, 0)
    assert found.found.value > 0.7


def test_nothing_marked_is_nothing_found():
    assert hits(quality(marked(epilepsy=0.2), 0.5)) == [(0, 2), (0, 1), (0, 1)]
