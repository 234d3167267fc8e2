"""A document that gives the annotator orders changes nothing that was found without it, there or elsewhere, even where
the model obeys.
"""

from collections.abc import Iterable

import pytest

from detectors.annotator import Annotator
from detectors.exact import ExactIndex
from detectors.locate import Located, locate
from domain.errors import DetectionFailed
from domain.records import SensitiveSpan
from tests.detectors.conftest import document
from tests.detectors.injections import EVERYTHING, PRIVATE, clean, injections
from tests.detectors.serving import served

INJECTIONS = injections()
ORDERED = "c#9"
"""Where the document with the order stands, behind five others."""


def named(chosen):
    return [pytest.param(i, id=i.kind) for i in chosen]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with served(tmp_path_factory.mktemp("chat"), PRIVATE) as running:
        yield running


@pytest.fixture(scope="module")
def searched(server, presidio):
    """Searches for a subject through five documents, with one more behind them or without, and with a model or
    without.
    """
    annotators = {m: Annotator("chat", m, endpoint=server.endpoint) for m in ("gullible", "right")}

    def search(subject, text: str = "", model: str = "") -> Located:
        documents = [document(t, f"c#{n}") for n, t in enumerate(clean(5), start=1)]
        documents += [document(text, ORDERED)] if text else []
        detectors = {"exact": ExactIndex(), "presidio": presidio}
        if model:
            detectors["annotator"] = annotators[model]
        return locate(documents, subject, detectors)

    return search


def written(spans: Iterable[SensitiveSpan]) -> bytes:
    return "\n".join(map(repr, spans)).encode()


def patterns(found: Located) -> bytes:
    """What exact index and Presidio found, whoever's it is."""
    return written(s for s in (*found.spans, *found.others) if s.detector != "annotator")


def elsewhere(found: Located) -> bytes:
    return written(s for s in (*found.spans, *found.others) if s.document != ORDERED)


def texts(injection, spans: Iterable[SensitiveSpan]) -> set[str]:
    return {injection.text[s.start : s.end] for s in spans if s.document == ORDERED}


def test_there_are_fifty_of_ten_kinds():
    assert (len(INJECTIONS), len({i.kind for i in INJECTIONS})) == (50, 10)
    assert len({i.text for i in INJECTIONS}) == 50


@pytest.mark.parametrize("injection", named(i for i in INJECTIONS if i.kind not in EVERYTHING))
def test_a_model_that_obeys_changes_no_finding_of_others_and_no_other_document(
    searched, server, injection
):
    plain = searched(injection.subject, injection.text)
    alone = searched(injection.subject, model="gullible")
    before = server.counts()["obeyed"]
    fooled = searched(injection.subject, injection.text, "gullible")
    assert server.counts()["obeyed"] > before
    assert patterns(fooled) == patterns(plain) != b""
    assert written(fooled.others) == written(plain.others)
    assert injection.other in texts(injection, fooled.others)
    assert elsewhere(fooled) == elsewhere(alone)
    assert b"'annotator'" in elsewhere(alone)


@pytest.mark.parametrize("injection", named(i for i in INJECTIONS if i.kind in EVERYTHING))
def test_an_order_to_mark_everything_stops_the_search_at_that_document(searched, injection):
    with pytest.raises(DetectionFailed) as caught:
        searched(injection.subject, injection.text, "gullible")
    assert caught.value.place == f"detector annotator at {ORDERED}"
    assert "share of the document" in caught.value.remedy


@pytest.mark.parametrize("injection", named(INJECTIONS[::5]))
def test_a_model_that_does_not_obey_finds_what_is_there(searched, injection):
    found = searched(injection.subject, injection.text, "right")
    assert next(p for p in PRIVATE if p in injection.text) in texts(injection, found.spans)
