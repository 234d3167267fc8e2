"""Nothing of the person is in any store after a whole erasure, in whatever form it is written."""

import json

import pytest

from tests.integration.stores import forms, hits
from tests.integration.world import CANARY

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def canaries(world):
    person = world.people[0]
    return [person.name, person.born, *CANARY.values(), CANARY["phone"].replace("-", "")]


def test_the_search_itself_finds_what_is_there(world, canaries):
    found = hits(world.folder / "corpus", canaries, ())
    assert {hit.partition(": ")[2] for hit in found} >= set(canaries) - {"7395826104"}


def test_no_store_holds_anything_of_the_person(erased, canaries):
    stores = {path.name for path in erased.world.folder.iterdir()}
    assert stores >= {"home", "prefect", "tmp", "export"}
    assert hits(erased.world.folder, canaries, ("corpus/",)) == []


def test_nothing_that_was_printed_or_logged_holds_anything_of_the_person(erased, canaries):
    said = erased.output.encode()
    assert len(said) > 1000
    assert [text for text in canaries if any(form in said for form in forms(text))] == []


def test_prefect_knows_the_reference_and_no_more(erased):
    folder = erased.world.folder / "prefect"
    assert hits(folder, [erased.ref], ()) != []


def test_the_redacted_copy_is_the_corpus_without_the_person(erased):
    copy = erased.world.home / "redacted" / "letters" / "current" / "letters.jsonl"
    original = erased.world.folder / "corpus" / "letters.jsonl"
    pairs = list(zip(original.read_text().splitlines(), copy.read_text().splitlines(), strict=True))
    changed = [json.loads(new)["text"] for old, new in pairs if old != new]
    assert len(changed) % 3 == 0  # three documents about each person erased so far
    assert all("[erased]" in text for text in changed)
