"""Exact or approximate: the evidence says which, and how long a part that was left out was missing."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from domain.errors import EvidenceInvalid
from domain.outcomes import (
    COMPLETES,
    RETRAIN_ESTIMATED,
    Attempt,
    CaseFile,
    Deletion,
    Outcome,
    Trace,
    in_service,
)
from reports import bundle, keys, report, statement, verify
from reports.limits import LIMITS, limits_for
from tests.reports import cases
from tests.reports.conftest import envelopes, verification

Key = ec.EllipticCurvePrivateKey


def attempt(number: int, stopped: str, outcome: Outcome, *, seconds: float) -> Attempt:
    made = cases.attempt(number, "sisa", 0 if outcome is Outcome.PASS else 19, outcome)
    trace = Trace("sisa", ({"loss": 1.0},), stopped, 1.0, deletion=Deletion.EXACT)
    return replace(made, trace=trace, seconds=seconds, reason="first_in_policy")


def case(*attempts: Attempt) -> CaseFile:
    return cases.case(models=(replace(cases.model(), attempts=attempts),))


DROPPED = attempt(1, "dropped", Outcome.PASS, seconds=12.0)
EXPECTED = replace(
    DROPPED,
    trace=Trace(
        "sisa",
        ({"loss": 1.0},),
        "dropped",
        1.0,
        {RETRAIN_ESTIMATED: 200.0},
        deletion=Deletion.EXACT,
    ),
)
DONE = replace(attempt(2, "steps", Outcome.PASS, seconds=345.0), reason=COMPLETES)
FAILED = replace(attempt(2, "steps", Outcome.FAIL, seconds=345.0), reason=COMPLETES)


def test_the_page_says_exact_and_how_long_the_retrain_took() -> None:
    page = report.render(case(DROPPED, DONE))
    assert "What is in service is exact" in page
    assert "left out after 12.00 seconds" in page
    assert "done 345 seconds later" in page
    assert "estimated" not in page
    assert "exact_as_found" in limits_for(case(DROPPED, DONE))


def test_a_drop_alone_says_that_the_rest_is_missing_and_how_long_it_may_be() -> None:
    page = report.render(case(DROPPED))
    assert "not trained again yet" in page
    assert "cannot be estimated" in page
    page = " ".join(report.render(case(EXPECTED)).split())
    assert "An estimate of how long that will take: about 212 seconds" in page
    page = report.render(case(EXPECTED, DONE))
    assert "done 345 seconds later (estimated before: about 212 seconds)" in page


def test_seconds_and_the_drop_that_is_completed_are_signed() -> None:
    drop, done = (
        json.loads(verification(made))["predicate"]["attempt"] for made in (EXPECTED, DONE)
    )
    assert (drop["seconds"], drop["trace"]["stopped"]) == ("12", "dropped")
    assert drop["trace"]["facts"] == {RETRAIN_ESTIMATED: "200"}
    assert (done["seconds"], done["reason"]) == ("345", COMPLETES)
    assert (done["method"], done["number"]) == (drop["method"], drop["number"] + 1)


@pytest.mark.parametrize(("ended", "holds"), [(Outcome.PASS, True), (Outcome.FAIL, False)])
def test_a_teacher_that_was_left_out_still_holds_the_person(ended: Outcome, holds: bool) -> None:
    made = cases.attempt(1, "loo_ensemble", 0, ended)
    limits = limits_for(cases.case(models=(replace(cases.model(outcome=ended), attempts=(made,)),)))
    assert ("teachers_hold_person" in limits) is holds
    assert "the parts that did still hold the person" in LIMITS["teachers_hold_person"]
    assert "teachers_hold_person" not in limits_for(case(DROPPED, DONE))


def test_what_was_changed_afterwards_is_called_approximate() -> None:
    page = report.render(cases.FULFILLED)
    assert "What is in service is approximate" in page
    assert "exact_as_found" not in limits_for(cases.FULFILLED)
    assert "What is in service" not in report.render(cases.NOT_ERASED)


@pytest.mark.parametrize(
    ("made", "word"), [(DONE, "exact"), (cases.FULFILLED.models[0].attempts[-1], "approximate")]
)
def test_the_statements_say_which(made: Attempt, word: str) -> None:
    payload = verification(made)
    assert json.loads(payload)["predicate"]["attempt"]["trace"]["deletion"] == word


def test_a_retrain_that_does_not_pass_leaves_the_drop_in_service(tmp_path: Path, key: Key) -> None:
    made = case(DROPPED, FAILED)
    assert in_service(made.models[0].attempts) is DROPPED
    assert "not trained again yet" in report.render(made)
    files = bundle.assemble(made, envelopes(made, key), key, forbidden=())
    bundle.write(tmp_path / "made.zip", files)
    verify.verify(tmp_path / "made.zip", keys.public_pem(key.public_key()))


def test_only_a_retrain_of_a_drop_may_fail_behind_a_pass() -> None:
    late = replace(FAILED, reason="next_in_policy")
    with pytest.raises(EvidenceInvalid):
        statement.refuse_contradiction(case(DROPPED, late))


@pytest.mark.parametrize(
    ("error", "why"),
    [
        ("base_knows_person", "the model beneath the parts already knows this person"),
        ("method_inapplicable", "with its rows in the same place"),
        ("digest_mismatch", "is not the one that the manifest names"),
        ("method_diverged", "the numbers ran away"),
    ],
)
def test_the_page_says_why_the_exact_method_is_not_in_service(error: str, why: str) -> None:
    refused = Attempt(1, "sisa", cases.sha(41), "first_in_policy", 0.5, error)
    page = report.render(case(refused, cases.FULFILLED.models[0].attempts[-1]))
    assert "What is in service is approximate" in page
    (said,) = re.findall(r"<p>(Exact deletion was tried first and is not .*)</p>", page)
    assert why in said


def test_an_exact_model_that_did_not_pass_is_told_apart_from_a_refusal() -> None:
    failed = attempt(1, "steps", Outcome.FAIL, seconds=3.0)
    page = report.render(case(failed, cases.FULFILLED.models[0].attempts[-1]))
    assert "not what is in service: the model that it made did not pass." in page


@pytest.mark.parametrize("attempts", [(DROPPED, DONE), (DROPPED, FAILED)])
def test_nothing_is_excused_where_the_exact_model_is_in_service(
    attempts: tuple[Attempt, ...],
) -> None:
    assert "Exact deletion was tried" not in report.render(case(*attempts))
    assert "Exact deletion was tried" not in report.render(cases.FULFILLED)


def test_a_drop_that_did_not_pass_was_never_trained_again() -> None:
    failed = attempt(1, "dropped", Outcome.FAIL, seconds=3.0)
    page = report.render(case(failed, cases.FULFILLED.models[0].attempts[-1]))
    assert "What is in service is approximate" in page
    assert "training it again without the person" not in page


def test_a_drop_that_was_not_enough_and_was_trained_again_is_exact(
    tmp_path: Path, key: Key
) -> None:
    made = case(attempt(1, "dropped", Outcome.FAIL, seconds=12.0), DONE)
    page = report.render(made)
    assert "What is in service is exact" in page
    assert "was left out after" not in page  # that one was never in service
    files = bundle.assemble(made, envelopes(made, key), key, forbidden=())
    bundle.write(tmp_path / "made.zip", files)
    verify.verify(tmp_path / "made.zip", keys.public_pem(key.public_key()))
