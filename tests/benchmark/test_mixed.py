"""The made-up documents are what they say, and most of their secrets come out as whose they are."""

import pytest

from detectors.exact import ExactIndex
from detectors.presidio import PresidioDetector
from tests.benchmark.detect_mixed import NOT_FOUND, RIGHT, UNCERTAIN, measure
from tests.benchmark.mixed_writer import SETS, write


@pytest.mark.parametrize("which", SETS)
def test_every_label_is_what_its_person_says(which):
    for mixed in write(which, 250, 1):
        text = mixed.document.text.reveal()
        assert 2 <= len(mixed.people) <= 5
        assert len({person.name for person in mixed.people}) == len(mixed.people)
        assert not set("⟦¦⟧") & set(text)
        assert "@each" not in text
        assert "@end" not in text
        for secret in mixed.secrets:
            if secret.owner is not None:
                value = mixed.people[secret.owner].values[secret.kind]
                assert text[secret.start : secret.end] == value


def test_the_seed_decides_what_is_written():
    assert write("development", 30, 7) == write("development", 30, 7)
    assert write("development", 30, 7) != write("development", 30, 8)


@pytest.fixture(scope="module")
def outcome():
    searchers = {"exact": ExactIndex(), "presidio": PresidioDetector()}
    return measure(write("development", 68, 2), searchers, known=False)


def test_secrets_come_out_as_whose_they_are(outcome):
    shares = outcome.report()
    assert shares["accuracy"] >= 0.95
    assert shares["wrong"] <= 0.005


def test_the_shares_add_up(outcome):
    shares = outcome.report()
    assert shares["accuracy"] + shares["wrong"] + shares["uncertain"] == pytest.approx(1)
    assert 0.9 <= shares["askers_own_right"] <= 1
    assert outcome.total[RIGHT] > outcome.total[UNCERTAIN] > 0
    assert outcome.total[NOT_FOUND] < outcome.total.total() / 10
