"""The evidence and the report say how much the search finds, or that nobody measured it."""

import json
from dataclasses import replace

import pytest

from domain.intervals import rate
from domain.outcomes import Recall
from reports.limits import limits_for
from reports.report import render
from reports.statement import completion
from reports.tracking import _metrics
from tests.reports.cases import FULFILLED, NO_MATCH, WITHDRAWN, corpus, sha

RECALL = Recall(rate(291, 300), {"name": rate(140, 141), "beside": rate(151, 159)})
MEASURED = replace(FULFILLED, corpora=(replace(corpus(), recall=RECALL),))
PARTLY = replace(FULFILLED, corpora=(*MEASURED.corpora, corpus("wiki")))


def stated(case):
    payload = completion(case, report_sha256=sha(1), public_key_sha256=sha(2), earlier={})
    return json.loads(payload)["predicate"]["corpora"]


def test_the_evidence_holds_the_share_with_its_interval():
    [said] = stated(MEASURED)
    assert said["recall"]["method"] == "planted-lookalikes"
    assert said["recall"]["found"] == {
        "value": "0.97",
        "low95": "0.943816452",
        "high95": "0.98619218",
        "trials": 300,
        "hits": 291,
    }
    assert said["recall"]["byKind"]["beside"]["trials"] == 159
    assert [one["recall"] for one in stated(FULFILLED)] == [None, None]


def test_the_report_shows_it_by_kind():
    page = render(MEASURED)
    assert "291 of 300" in page
    assert "94 % to 99" in page.replace("\u202f", " ")
    assert "data beside the name that the request does not give: 151 of 159" in page
    assert "not measured" not in page.split("How much the search finds")[1].split("</section>")[0]


@pytest.mark.parametrize("case", [FULFILLED, NO_MATCH])
def test_the_report_says_where_nobody_measured_it(case):
    section = render(case).split("How much the search finds")[1].split("</section>")[0]
    assert "This was not measured" in section
    partly = render(PARTLY).split("How much the search finds")[1].split("</section>")[0]
    assert "not measured" in partly
    assert "291 of 300" in partly


def test_the_limits_name_what_was_and_what_was_not_measured():
    codes = {"recall_not_measured", "recall_of_lookalikes"}
    found = [codes & {*limits_for(case)} for case in (FULFILLED, MEASURED, PARTLY, WITHDRAWN)]
    assert found == [{"recall_not_measured"}, {"recall_of_lookalikes"}, codes, set()]


def test_the_tracking_server_gets_the_share_and_its_lower_bound():
    numbers = {m.key: m.value for m in _metrics(MEASURED)}
    assert numbers["corpus.tickets.recall"] == pytest.approx(0.97)
    assert numbers["corpus.tickets.recall.low95"] == pytest.approx(0.9438, abs=1e-4)
    assert not [m.key for m in _metrics(FULFILLED) if "recall" in m.key and "corpus" in m.key]
