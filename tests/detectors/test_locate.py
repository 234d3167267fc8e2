"""A search finds one person's spans, leaves the others', counts, and fails closed."""

import pytest

from detectors.exact import ExactIndex
from detectors.locate import in_batches, locate, search
from domain.errors import Code, DetectionFailed, RequestRejected
from domain.records import Identifier, IdentifierKind, Owner, Subject
from domain.secrecy import Secret
from tests.detectors.conftest import CARD, JON, document

JON_KNOWN = {
    IdentifierKind.NAME: "Jon Aske",
    IdentifierKind.BIRTH_DATE: "1979-07-09",
    IdentifierKind.PHONE: "917-555-0188",
}
PLAIN = "The ferry leaves at noon."


class Broken:
    """A detector that breaks with the text in its message."""

    def find(self, document, subject):
        raise RuntimeError(document.text.reveal())


def test_the_subjects_spans_are_found_and_the_others_are_left(maren, presidio):
    text = f"{JON} {CARD}"
    documents = [document(PLAIN, "a#1"), document(text, "a#2"), document(JON, "a#3")]
    steps = []
    found = locate(documents, maren, {"exact": ExactIndex(), "presidio": presidio}, steps.append)
    assert (found.documents, found.candidates, steps) == (3, 1, [3])
    assert {s.document for s in found.spans} == {"a#2"}
    assert min(s.start for s in found.spans) > len(JON)
    assert {s.owner for s in found.spans} == {Owner.SUBJECT}
    assert {text[s.start : s.end] for s in found.others} >= {"Jon Aske", "917-555-0188"}
    assert [(p.ref, p.person, p.spans) for p in found.passages] == [("a#2", "p0000", found.spans)]


def test_what_the_request_did_not_say_is_found_beside_the_name(maren, presidio):
    text = "Maren Tolvik moved; her new phone is 646-555-0172."
    found = locate([document(text)], maren, {"exact": ExactIndex(), "presidio": presidio})
    assert "646-555-0172" in {text[s.start : s.end] for s in found.spans}


def test_a_birth_date_in_a_document_without_the_person_is_counted_and_left(maren):
    found = locate([document("On 4 March 1987 it rained.")], maren, {"exact": ExactIndex()})
    assert (found.candidates, found.uncertain, found.spans) == (0, 1, ())


def test_a_detector_that_breaks_stops_the_search(maren):
    with pytest.raises(DetectionFailed) as caught:
        locate([document(CARD)], maren, {"exact": ExactIndex(), "broken": Broken()})
    assert caught.value.code is Code.DETECTOR_BROKE
    assert caught.value.place == "detector broken at corpus.jsonl#1"
    assert caught.value.__cause__ is None


def test_a_search_without_the_exact_index_is_refused(maren, presidio):
    with pytest.raises(RequestRejected) as caught:
        locate([document(CARD)], maren, {"presidio": presidio})
    assert caught.value.code is Code.DETECTOR_UNKNOWN


def test_people_searched_together_are_found_as_each_alone(maren, presidio):
    jon = Subject("req-2", tuple(Identifier(k, Secret(v)) for k, v in JON_KNOWN.items()))
    texts = [PLAIN, CARD, JON, f"{JON} {CARD}", "On 4 March 1987 and 9 July 1979 it rained.", ""]
    documents = [document(text, f"a#{n}") for n, text in enumerate(texts * 400)]
    detectors = {"exact": ExactIndex(), "presidio": presidio}
    together = search(in_batches(documents), [maren, jon], detectors)
    assert together == [locate(documents, person, detectors) for person in (maren, jon)]
    assert [found.candidates for found in together] == [800, 800]
    assert [found.uncertain for found in together] == [400, 400]
