"""Other people are found with whole secrets, grouped by person, and ordinary text has none."""

import pytest

from detectors.exact import ExactIndex
from detectors.locate import locate
from detectors.neighbours import is_personal, neighbours, ordinary
from domain.errors import DetectionFailed
from domain.records import Owner
from tests.detectors.conftest import CARD, document
from tests.detectors.test_locate import Broken

PEOPLE = [
    (
        "Jon Aske",
        "917-555-0188",
        "jon.aske@example.net",
        "9 July 1979",
        "55-118-2046",
        "7 Mill Road, Vardal",
    ),
    (
        "Ida Fossum",
        "+47 22 12 34 56",
        "ida@example.com",
        "1 May 1990",
        "55-300-1122",
        "Storgata 12, 0155 Oslo",
    ),
    (
        "Lars Wiik",
        "718-555-0111",
        "lars.wiik@example.net",
        "2 June 1966",
        "55-410-9981",
        "31 Quay Street, Ostby",
    ),
]
PLAIN = [f"The ferry number {n} leaves at noon and the harbour is quiet." for n in range(20)]


def corpus():
    texts = [CARD, *PLAIN]
    for name, phone, mail, born, account, home in PEOPLE:
        texts += [
            f"Card of {name}: phone {phone}, mail {mail}, born {born}, id {account}, home {home}.",
            f"What is {name}'s account number? {account}",
            f"Please write to {mail} about account {account}.",
        ]
    return [document(text, f"corpus.jsonl#{n}") for n, text in enumerate(texts, start=1)]


def found(maren, presidio, people=3, seed=1):
    return neighbours(corpus(), maren, presidio, {"corpus.jsonl#1"}, people, seed)


def test_every_person_is_one_group_with_whole_secrets(maren, presidio):
    passages = found(maren, presidio)
    by_person: dict[str, set[str]] = {}
    for passage in passages:
        text = passage.text.reveal()
        by_person.setdefault(passage.person, set()).update(
            text[s.start : s.end] for s in passage.spans
        )
    assert sorted(by_person) == ["p0001", "p0002", "p0003"]
    assert sorted(map(sorted, by_person.values())) == sorted(sorted(values) for values in PEOPLE)
    assert len(passages) == 9
    assert {s.owner for p in passages for s in p.spans} == {Owner.OTHER}


def test_the_draw_depends_on_the_seed_alone(maren, presidio):
    def refs(seed):
        return [p.ref for p in found(maren, presidio, people=1, seed=seed)]

    assert refs(5) == refs(5)
    assert len({tuple(refs(seed)) for seed in range(8)}) > 1


def test_fewer_people_come_back_when_there_are_fewer(maren, presidio):
    assert len({p.person for p in found(maren, presidio, people=50)}) == 3


def test_the_subject_is_no_neighbour_even_when_not_excluded(maren, presidio):
    passages = neighbours(corpus(), maren, presidio, set(), 50, 1)
    assert "corpus.jsonl#1" not in {p.ref for p in passages}


def test_a_document_about_two_people_is_nobodys(maren, presidio):
    text = "Dr. Jon Aske, phone 917-555-0188, and Dr. Ida Fossum, phone 718-555-0111."
    assert neighbours([document(text)], maren, presidio, set(), 5, 1) == ()


def test_a_number_that_three_people_share_joins_nobody(maren, presidio):
    documents = [
        document(f"Dr. {name} works here, phone 800-555-0199, account {account}.", f"a#{n}")
        for n, (name, _, _, _, account, _) in enumerate(PEOPLE)
    ]
    assert len({p.person for p in neighbours(documents, maren, presidio, set(), 9, 1)}) == 3


def test_a_detector_that_breaks_stops_the_search(maren):
    with pytest.raises(DetectionFailed):
        neighbours(corpus(), maren, Broken(), set(), 3, 1)


def test_ordinary_text_has_no_secret_and_comes_in_the_order_of_the_seed(maren):
    chosen = ordinary(corpus(), {"corpus.jsonl#2"}, 12, 3)
    assert len(chosen) == 12
    assert all(p.spans == () and p.person == "" for p in chosen)
    assert all(p.text.reveal() in PLAIN[1:] for p in chosen)
    assert [p.ref for p in chosen] == [p.ref for p in ordinary(corpus(), {"corpus.jsonl#2"}, 12, 3)]


def test_text_that_names_somebody_is_taken_last():
    documents = [document("The poet Olav Duun wrote.", "a#1"), document("It rained.", "a#2")]
    assert [p.ref for p in ordinary(documents, set(), 2, 1)] == ["a#2", "a#1"]
    assert [p.ref for p in ordinary(documents, set(), 1, 9)] == ["a#2"]


@pytest.mark.parametrize("text", ["Write to a@example.org", "born on 4 May 1999", CARD])
def test_text_with_a_secret_is_personal(text):
    assert is_personal(text)


def test_after_the_search_the_neighbours_and_the_subject_do_not_overlap(maren, presidio):
    mine = locate(corpus(), maren, {"exact": ExactIndex(), "presidio": presidio})
    assert {p.ref for p in mine.passages}.isdisjoint(p.ref for p in found(maren, presidio))
