"""Who is found in what a model says, and who belongs to which group of people."""

import json
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from detectors.exact import ExactIndex
from domain.errors import Code, RequestRejected
from domain.records import Identifier, IdentifierKind, Passage, Subject
from domain.secrecy import Secret
from flows.catalog import load_catalog
from flows.policy import Groups
from flows.subjects import finder, groups_of


def test_a_person_is_found_in_what_a_model_says_in_any_written_form():
    given = (
        Identifier(IdentifierKind.NAME, Secret("Maren Tolvik")),
        Identifier(IdentifierKind.PHONE, Secret("212-555-0137")),
    )
    finds = finder(ExactIndex(), Subject("er-0000000000000000", given))
    assert finds("Ask TOLVIK, Maren about it.")
    assert finds("Call +1 (212) 555 0137 now.")
    assert not finds("Call 212-555-0138 about Maren's boat.")
    assert not finds("")


def rows(*given):
    return "".join(json.dumps(row) + "\n" for row in given)


def grouped(lethe_home, text, values=("north", "south")):
    (lethe_home / "letters.jsonl").write_text(text)
    (lethe_home / "catalog.yaml").write_text(
        "corpora:\n  letters: {path: letters.jsonl}\n"
        "models:\n  assistant: {path: model, corpora: [letters]}\n"
    )
    stores = SimpleNamespace(catalog=load_catalog(lethe_home / "catalog.yaml"))
    comparison = SimpleNamespace(groups=Groups(field="region", values=values))
    bench = SimpleNamespace(stores=stores, policy=SimpleNamespace(comparison=comparison))
    people = [
        Passage(f"letters.jsonl#{n}", Secret(""), (), person)
        for n, person in ((1, "p0001"), (2, "p0001"), (3, "p0002"), (4, "p0003"), (5, "p0004"))
    ]
    return groups_of(bench, "assistant", people)


def test_a_persons_group_is_that_of_their_rows_and_nobody_is_put_into_one_by_guessing(lethe_home):
    regions = ("North", " north ", "south", "elsewhere", "")
    found = grouped(lethe_home, rows(*({"text": "x", "region": r} for r in regions)))
    assert found == {"p0001": "north", "p0002": "south"}
    other = ("north", "south", "south", "elsewhere", "north")
    found = grouped(lethe_home, rows(*({"text": "x", "region": r} for r in other)))
    assert found == {"p0002": "south", "p0004": "north"}  # p0001's rows disagree


def test_rows_without_the_field_are_refused_by_their_place(lethe_home):
    with pytest.raises(RequestRejected) as failed:
        grouped(lethe_home, rows({"text": "x", "region": "north"}, {"text": "x"}))
    assert failed.value.code is Code.CORPUS_CORRUPT
    assert "region" in failed.value.remedy


@pytest.mark.parametrize("values", [(), ("north",), ("north", "alike"), ("north", "Anna B.")])
def test_groups_are_words_that_may_stand_in_evidence(values):
    with pytest.raises(ValidationError):
        Groups(field="region", values=values)
