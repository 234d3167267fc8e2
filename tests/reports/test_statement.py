import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
from in_toto_attestation.v1.statement import Statement as SecondStatement
from pydantic import TypeAdapter

from domain.errors import Code, ErasureError, EvidenceInvalid
from domain.outcomes import CaseFile, Deletion, FileDigest, Outcome, Trace, Utility, Verdict
from reports import statement
from tests.reports import cases
from tests.reports.conftest import verification

SUBJECT = FileDigest("report.html", 1, cases.sha(5))


def completed(case: CaseFile) -> bytes:
    return statement.completion(
        case,
        report_sha256=cases.sha(20),
        public_key_sha256=cases.sha(21),
        earlier={"policy-commitment.dsse.json": cases.sha(22)},
    )


def verified(number: int = 1) -> bytes:
    return verification(cases.model().attempts[number - 1])


def committed() -> bytes:
    return statement.policy_commitment(
        "req-1",
        policy_sha256=cases.sha(1),
        models={"m": cases.sha(3)},
        attacks=["extraction"],
        methods=["depn"],
        seed=11,
        committed_at="2026-11-20T12:00:00Z",
    )


def contradiction(case: CaseFile) -> ErasureError:
    with pytest.raises(EvidenceInvalid) as caught:
        statement.refuse_contradiction(case)
    return caught.value


def leaves(value: object) -> list[object]:
    if isinstance(value, dict):
        return [leaf for pair in value.items() for item in pair for leaf in leaves(item)]
    if isinstance(value, list):
        return [leaf for item in value for leaf in leaves(item)]
    return [value]


@pytest.mark.parametrize(
    "payload",
    [committed(), verified(1), verified(2), *(completed(case) for case in cases.ALL.values())],
)
def test_every_statement_passes_the_in_toto_projects_own_validation(payload: bytes) -> None:
    fields = json.loads(payload)
    subjects = [
        ResourceDescriptor(name=s["name"], digest=s["digest"]).pb for s in fields["subject"]
    ]
    second = SecondStatement(subjects, fields["predicateType"], fields["predicate"])
    second.validate()
    assert second.pb.type == fields["_type"]


@pytest.mark.parametrize("payload", [committed(), verified(2), completed(cases.SEVERAL)])
def test_a_statement_holds_tokens_integers_and_nothing_else(payload: bytes) -> None:
    for leaf in leaves(json.loads(payload)):
        assert leaf is None or isinstance(leaf, bool | int | str)
        assert " " not in str(leaf)
    assert b" " not in payload


def test_the_completion_names_report_key_envelopes_and_what_lies_at_the_controller() -> None:
    named = {s["name"]: s["digest"] for s in json.loads(completed(cases.FULFILLED))["subject"]}
    assert named["report.html"] == {"sha256": cases.sha(20)}
    assert named["public.pem"] == {"sha256": cases.sha(21)}
    assert named["policy-commitment.dsse.json"] == {"sha256": cases.sha(22)}
    assert named["corpus/tickets/manifest.txt"] == {"sha256": cases.sha(90)}
    assert named["model/clinic-assistant/manifest.txt"] == {"sha256": cases.sha(7)}


def test_the_original_corpus_is_named_by_its_keyed_commitment_only() -> None:
    fields = json.loads(completed(cases.FULFILLED))
    assert cases.sha(91) not in [s["digest"]["sha256"] for s in fields["subject"]]
    assert fields["predicate"]["corpora"][0]["manifestBefore"] == {"hmacSha256": cases.sha(91)}


def test_an_attempt_that_failed_has_a_statement_with_its_code_and_no_result() -> None:
    predicate = json.loads(verified(1))["predicate"]
    assert predicate["attempt"]["error"] == "method_diverged"
    assert predicate["after"] is None
    assert predicate["verdict"] is None


def test_rates_are_decimal_strings_with_hits_and_trials() -> None:
    after = json.loads(verified(2))["predicate"]["after"]
    first = after["attacks"][0]["scores"][0]["members"]
    assert first["value"] == "0"
    assert (first["hits"], first["trials"]) == (0, 64)
    assert float(first["high95"]) == pytest.approx(1 - 0.025 ** (1 / 64))  # Clopper-Pearson


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.1, "0.1"),
        (1e-9, "0.000000001"),
        (1 / 3, "0.333333333"),
        (1.5e10, "15000000000"),
        (-0.25, "-0.25"),
        (float("nan"), "NaN"),
        (float("inf"), "Infinity"),
        (float("-inf"), "-Infinity"),
    ],
)
def test_a_float_is_written_without_an_exponent(value: float, written: str) -> None:
    assert statement.decimal(value) == written


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_decimal_string_is_the_number_to_nine_digits(value: float) -> None:
    written = statement.decimal(value)
    assert "e" not in written.lower()
    assert float(written) == pytest.approx(value, rel=1e-8, abs=0)


@pytest.mark.parametrize(
    "text", ["Tiffany Magenta", "tiffi@me.com", "x" * 161, "naïve", "a\nb", 'a"b', "(555)"]
)
def test_free_text_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(EvidenceInvalid) as caught:
        statement.statement("type", [SUBJECT], {"models": [{"name": text}]})
    assert caught.value.code is Code.PERSONAL_DATA_IN_EVIDENCE
    assert caught.value.place == "predicate.models[0].name"
    assert text not in str(caught.value) + caught.value.sentence


def test_free_text_as_a_key_or_a_file_name_is_refused() -> None:
    for subjects, predicate in (
        ([SUBJECT], {"Tiffany Magenta": 1}),
        ([replace(SUBJECT, path="Tiffany Magenta.jsonl")], {}),
    ):
        with pytest.raises(EvidenceInvalid) as caught:
            statement.statement("type", subjects, predicate)
        assert "Tiffany" not in caught.value.sentence


def test_a_float_has_no_way_in() -> None:
    with pytest.raises(TypeError):
        statement.statement("type", [SUBJECT], {"rate": [0.5]})  # type: ignore[list-item]


@pytest.mark.parametrize("digest", ["", "AB" * 32, "12", "g" * 64])
def test_a_subject_needs_a_lowercase_sha256(digest: str) -> None:
    with pytest.raises(EvidenceInvalid):
        statement.statement("type", [replace(SUBJECT, sha256=digest)], {})


def test_a_statement_about_nothing_is_refused() -> None:
    with pytest.raises(EvidenceInvalid):
        statement.statement("type", [], {})


def test_times_are_written_in_one_form() -> None:
    assert statement.utc("2026-11-20T16:40:11+00:00") == "2026-11-20T16:40:11Z"
    assert statement.utc(datetime(2026, 11, 20, 1, 2, 3, 45, UTC).isoformat()).endswith("45Z")
    for wrong in ("2026-11-20T16:40:11", "2026-11-20T16:40:11+01:00", "yesterday"):
        with pytest.raises(ValueError, match=r"UTC|Invalid"):
            statement.utc(wrong)


def test_fulfilled_needs_a_pass_for_every_model() -> None:
    mixed = replace(cases.SEVERAL, status="fulfilled")
    assert contradiction(mixed).place == "case.status"


def test_inconclusive_is_not_a_pass() -> None:
    assert contradiction(replace(cases.INCONCLUSIVE, status="fulfilled")).place == "case.status"


@pytest.mark.parametrize(
    "verdict",
    [
        None,
        Verdict(Outcome.PASS, ()),
        Verdict(Outcome.FAIL, cases.model().attempts[1].verdict.checks),  # type: ignore[union-attr]
        cases.model(outcome=Outcome.FAIL).attempts[1].verdict,
    ],
)
def test_a_model_passes_only_by_the_verdict_of_its_last_attempt(verdict: Verdict | None) -> None:
    last = replace(cases.model().attempts[1], verdict=verdict)
    model = replace(cases.model(), attempts=(last,))
    assert contradiction(cases.case(models=(model,))).code is Code.EVIDENCE_MISSING


def test_a_model_without_any_attempt_did_not_pass() -> None:
    contradiction(cases.case(models=(replace(cases.model(), attempts=()),)))


def test_a_model_that_passed_needs_the_digest_of_its_files() -> None:
    contradiction(cases.case(models=(replace(cases.model(), after_sha256=""),)))


@pytest.mark.parametrize("status", ["received", "unlearning", "", "FULFILLED", "done"])
def test_evidence_is_made_at_the_end_of_a_case_only(status: str) -> None:
    assert contradiction(cases.case(status=status)).place == "case.status"


def test_the_last_day_is_still_in_time() -> None:
    assert statement.on_time(cases.case(finished_at="2026-11-30T23:59:59Z"))
    assert not statement.on_time(cases.case(finished_at="2026-12-01T00:00:00Z"))


def test_what_erasing_cost_is_signed_with_every_measure() -> None:
    model = cases.MANY.models[0]
    payload = verification(model.attempts[-1], model.before)
    after = json.loads(payload)["predicate"]["after"]["utility"]
    assert after["measures"].keys() == cases.measures(0.0).keys()
    assert after["measures"]["gap_alike"] == {
        "value": "0.12",
        "low95": "-Infinity",
        "high95": "Infinity",
        "trials": 20,
        "hits": None,
    }


def test_an_attempt_says_whether_its_method_only_suppresses() -> None:
    last = cases.FULFILLED.models[0].attempts[-1]
    assert last.trace is not None
    quiet = replace(last, trace=replace(last.trace, deletion=Deletion.SUPPRESSION))
    for attempt, expected in ((last, "approximate"), (quiet, "suppression")):
        payload = verification(attempt)
        signed = json.loads(payload)["predicate"]["attempt"]
        assert signed["trace"]["deletion"] == expected


def test_an_edit_is_signed_as_counts_and_a_digest() -> None:
    attempt = cases.EDITED.models[0].attempts[-1]
    payload = verification(attempt)
    trace = json.loads(payload)["predicate"]["attempt"]["trace"]
    assert trace["digests"] == {"edited_neurons": cases.sha(77)}
    assert trace["edit"]["completenessGap"] == "0.0042"
    assert trace["edit"]["layers"][0] == {"mass": "0.935", "edited": 71, "pieces": 512}
    assert json.loads(verified(2))["predicate"]["attempt"]["trace"]["edit"] is None


def test_a_trace_from_before_there_were_edits_is_read() -> None:
    stored, trace = TypeAdapter(Trace), cases.EDITED.models[0].attempts[-1].trace
    kept = stored.dump_python(trace, mode="json")
    assert stored.validate_python(kept) == trace
    del kept["edit"]
    assert stored.validate_python(kept).edit is None


def test_a_record_from_before_there_were_measures_is_read() -> None:
    stored = TypeAdapter(Utility)
    kept = stored.dump_python(cases.many(1.0).utility)
    assert stored.validate_python(kept) == cases.many(1.0).utility
    del kept["measures"]
    assert stored.validate_python(kept).measures == {}
