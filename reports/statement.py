"""The signed statements of a case, one per phase: in-toto Statement v1 as RFC 8785 bytes.

Numbers are integers or decimal strings, times RFC 3339 in UTC, digests lowercase hex, and every
other string a short token without spaces: free text has no way in, so that no personal data has.
Phases: `policy-commitment` (before the run), `verification` (one for each attempt, failed ones
too), `completion` (names the digests of all the others). Shape after compliance.md, 12.2;
https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from math import isfinite, isnan

from domain.errors import Code, EvidenceInvalid
from domain.lifecycle import Status
from domain.outcomes import (
    Assessment,
    Attempt,
    CaseFile,
    CorpusErasure,
    Edit,
    Estimate,
    FileDigest,
    Layer,
    ModelErasure,
    Outcome,
    Recall,
    Score,
    Verdict,
    carries_a_pass,
    deletion,
    in_service,
)
from reports import canonical
from reports.canonical import Json

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_BASE = "https://lethe.example/erasure"
POLICY_COMMITMENT, VERIFICATION, COMPLETION = "policy-commitment", "verification", "completion"

_TOKEN = re.compile(r"[A-Za-z0-9_.:+/-]{0,160}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


def predicate_type(phase: str) -> str:
    """The URI of a phase's predicate."""
    return f"{PREDICATE_BASE}/{phase}/v1"


def statement(kind: str, subjects: Sequence[FileDigest], predicate: Mapping[str, Json]) -> bytes:
    """The RFC 8785 bytes of a statement about `subjects`.

    Raises `EvidenceInvalid`: PERSONAL_DATA_IN_EVIDENCE for a string that is not a token (place =
    its path in the predicate), DIGEST_MISMATCH for a subject without a lowercase SHA-256,
    EVIDENCE_MISSING for no subject at all. `TypeError` for a float.
    """
    if not subjects:
        raise EvidenceInvalid(
            Code.EVIDENCE_MISSING, place="subject", remedy="a statement is about at least one file"
        )
    for subject in subjects:
        if not _DIGEST.fullmatch(subject.sha256):
            raise EvidenceInvalid(
                Code.DIGEST_MISMATCH,
                place="subject",
                remedy="needs a SHA-256 in lowercase hex; compute it again",
            )
    _refuse_text([s.path for s in subjects], "subject")
    _refuse_text(predicate, "predicate")
    named: list[Json] = [
        {"name": s.path, "digest": {"sha256": s.sha256}}
        for s in sorted(subjects, key=lambda s: s.path)
    ]
    return canonical.dumps(
        {"_type": STATEMENT_TYPE, "subject": named, "predicateType": kind, "predicate": predicate}
    )


def policy_commitment(
    request_ref: str,
    *,
    policy_sha256: str,
    models: Mapping[str, str],
    attacks: Sequence[str],
    methods: Sequence[str],
    seed: int,
    committed_at: str,
) -> bytes:
    """What was fixed before the run: the policy, the models (name -> digest before), attacks,
    methods in order, seed.
    """
    subjects = [FileDigest("policy.yaml", 0, policy_sha256)]
    subjects += [FileDigest(f"model/{name}/before", 0, digest) for name, digest in models.items()]
    predicate: dict[str, Json] = {
        "request": {"ref": request_ref},
        "policy": {"sha256": digest_of(policy_sha256)},
        "models": [{"name": n, "before": {"sha256": digest_of(d)}} for n, d in models.items()],
        "attacks": list(attacks),
        "methods": list(methods),
        "seed": seed,
        "committedAt": utc(committed_at),
    }
    return statement(predicate_type(POLICY_COMMITMENT), subjects, predicate)


def verification(
    request_ref: str,
    *,
    model: str,
    before_sha256: str,
    before: Assessment | None,
    attempt: Attempt,
    commitment_sha256: str,
    measured_at: str,
) -> bytes:
    """What one attempt did and what the attacks measured after it; an attempt that failed says so.

    `commitment_sha256` is the digest of the policy commitment's envelope.
    """
    subjects = [FileDigest(f"model/{model}/before", 0, before_sha256)]
    if attempt.after is not None:
        subjects.append(FileDigest(f"model/{model}/after", 0, attempt.after.model_sha256))
    predicate: dict[str, Json] = {
        "request": {"ref": request_ref},
        "policyCommitment": {"sha256": digest_of(commitment_sha256)},
        "model": {"name": model, "before": {"sha256": digest_of(before_sha256)}},
        "attempt": _attempt(attempt),
        "before": _assessment(before),
        "after": _assessment(attempt.after),
        "verdict": _verdict(attempt.verdict),
        "verifier": {"independentOfOperator": False},  # one key signs for both; the report says so
        "measuredAt": utc(measured_at),
    }
    return statement(predicate_type(VERIFICATION), subjects, predicate)


def completion(
    case: CaseFile,
    *,
    report_sha256: str,
    public_key_sha256: str,
    earlier: Mapping[str, str],
    readme_sha256: str = "",
) -> bytes:
    """The statement an auditor starts from: how the case ended, and the digest of every other file
    of the bundle.

    `earlier` maps the file names of the envelopes to their digests. Raises `EvidenceInvalid` when
    the status says more than the verdicts do (see `refuse_contradiction`).
    """
    refuse_contradiction(case)
    subjects = [
        FileDigest("report.html", 0, report_sha256),
        FileDigest("public.pem", 0, public_key_sha256),
        *(FileDigest(name, 0, digest) for name, digest in earlier.items()),
        *(FileDigest("README.txt", 0, digest) for digest in (readme_sha256,) if digest),
        *(
            FileDigest(f"corpus/{c.name}/manifest.txt", 0, c.after_sha256)
            for c in case.corpora
            if c.after_sha256
        ),
        *(
            FileDigest(f"model/{m.name}/manifest.txt", 0, m.after_sha256)
            for m in case.models
            if m.after_sha256
        ),
    ]
    predicate: dict[str, Json] = {
        "request": {
            "ref": case.request_ref,
            "status": case.status,
            "ground": case.ground,
            "receivedAt": utc(case.received_at),
            "dueOn": case.due_on,
            "finishedAt": utc(case.finished_at),
            "onTime": on_time(case),
        },
        "policy": {"sha256": digest_of(case.policy_sha256)},
        "commitments": {
            "algorithm": "HMAC-SHA256",
            "subject": digest_of(case.subject_commitment),
            "spans": digest_of(case.spans_commitment),
        },
        "corpora": [_corpus(c) for c in case.corpora],
        "models": [_model(m) for m in case.models],
        "software": dict(case.software),
        "limits": sorted(case.limits),
        "previous": [{"name": n, "sha256": digest_of(earlier[n])} for n in sorted(earlier)],
    }
    return statement(predicate_type(COMPLETION), subjects, predicate)


def refuse_contradiction(case: CaseFile) -> None:
    """Raise `EvidenceInvalid` (EVIDENCE_MISSING) when the case claims what its verdicts do not
    carry.

    The gate fails closed: "fulfilled" needs, for every model, an outcome PASS and a last attempt
    whose own verdict is PASS with at least one check; a model that passed needs the digest of its
    new weights.
    """
    try:
        status = Status(case.status)
    except ValueError:
        status = Status.RECEIVED
    if status not in _ENDS:
        raise _contradiction("case.status", "is not the end of a case; evidence is made at the end")
    for model in case.models:
        last = in_service(model.attempts)
        passed = last is not None and last.verdict is not None and _passed(last.verdict)
        if (model.outcome is Outcome.PASS) != passed:
            raise _contradiction(
                f"models.{model.name}", "its outcome is not the verdict of the attempt that decided"
            )
        if passed and not model.after_sha256:
            raise _contradiction(f"models.{model.name}", "it passed without a digest of its files")
        if status is Status.FULFILLED and not passed:
            raise _contradiction("case.status", "says fulfilled, but not every model passed")


def _passed(verdict: Verdict) -> bool:
    """PASS, on checks that carry it."""
    return verdict.outcome is Outcome.PASS and carries_a_pass(
        (check.name, check.outcome) for check in verdict.checks
    )


def on_time(case: CaseFile) -> bool:
    """Whether the case ended on or before its last day (UTC)."""
    return case.finished_at[:10] <= case.due_on


def decimal(value: float) -> str:
    """A float as a decimal string of at most nine significant digits, never in exponent form."""
    if isnan(value):
        return "NaN"
    if not isfinite(value):
        return "Infinity" if value > 0 else "-Infinity"
    return format(Decimal(f"{value:.9g}"), "f")


def utc(moment: str) -> str:
    """The time in the one form of the evidence (RFC 3339, UTC, "Z"). Raises `ValueError` for a time
    that is not UTC.
    """
    parsed = datetime.fromisoformat(moment)
    if parsed.utcoffset() != timedelta(0):
        raise ValueError("evidence holds times in UTC, with their offset")
    return parsed.replace(tzinfo=None).isoformat() + "Z"


def digest_of(value: str) -> str:
    """The digest, once it is one; empty stays empty (nothing of the kind was made)."""
    if value and not _DIGEST.fullmatch(value):
        raise EvidenceInvalid(
            Code.DIGEST_MISMATCH, place="digest", remedy="needs 64 lowercase hex digits"
        )
    return value


_ENDS = frozenset(
    {
        Status.FULFILLED,
        Status.NOT_ERASED,
        Status.INCONCLUSIVE,
        Status.NO_MATCH,
        Status.WITHDRAWN,
    }
)


def _code(words: str) -> str:
    """A code of the product's own, with its spaces as underscores."""
    return "_".join(words.split())


def _contradiction(place: str, remedy: str) -> EvidenceInvalid:
    return EvidenceInvalid(Code.EVIDENCE_MISSING, place=place, remedy=remedy)


def _attempt(attempt: Attempt) -> Json:
    trace = attempt.trace
    return {
        "number": attempt.number,
        "method": attempt.method,
        "optionsSha256": digest_of(attempt.options_sha256),
        "reason": _code(attempt.reason),
        "seconds": decimal(attempt.seconds),
        "error": attempt.error,
        "trace": None
        if trace is None
        else {
            "steps": len(trace.steps),
            "stopped": trace.stopped,
            "deletion": deletion(trace),
            "facts": {name: decimal(value) for name, value in trace.facts.items()},
            "digests": dict(trace.digests),
            "edit": _edit(trace.edit),
        },
    }


def _edit(edit: Edit | None) -> Json:
    if edit is None:
        return None
    return {
        "unit": edit.unit,
        "layers": [_layer(layer) for layer in edit.layers],
        "outside": None if edit.outside is None else _layer(edit.outside),
        "completenessGap": None if edit.gap is None else decimal(edit.gap),
    }


def _layer(layer: Layer) -> Json:
    mass = None if layer.mass is None else decimal(layer.mass)
    return {"mass": mass, "edited": layer.edited, "pieces": layer.pieces}


def _assessment(assessment: Assessment | None) -> Json:
    if assessment is None:
        return None
    return {
        "modelSha256": digest_of(assessment.model_sha256),
        "shapeSha256": digest_of(assessment.shape_sha256),
        "seconds": decimal(assessment.seconds),
        "attacks": [
            {"attack": a.attack, "scores": [_score(s) for s in a.scores]}
            for a in assessment.attacks
        ],
        "utility": {
            "perplexity": _estimate(assessment.utility.perplexity),
            "others": _estimate(assessment.utility.others),
            "measures": {n: _estimate(e) for n, e in assessment.utility.measures.items()},
        },
    }


def _score(score: Score) -> Json:
    return {
        "metric": score.metric,
        "unit": _code(score.unit),
        "members": _estimate(score.members),
        "controls": _estimate(score.controls),
        "contrast": None if score.contrast is None else _estimate(score.contrast),
        "rule": score.rule.value,
    }


def _estimate(estimate: Estimate) -> Json:
    return {
        "value": decimal(estimate.value),
        "low95": decimal(estimate.low),
        "high95": decimal(estimate.high),
        "trials": estimate.trials,
        "hits": estimate.hits,
    }


def _verdict(verdict: Verdict | None) -> Json:
    if verdict is None:
        return None
    return {
        "outcome": verdict.outcome.value,
        "checks": [
            {
                "name": check.name,
                "outcome": check.outcome.value,
                "reason": check.reason,
                "measured": decimal(check.measured),
                "bound": decimal(check.bound),
            }
            for check in verdict.checks
        ],
    }


def _corpus(corpus: CorpusErasure) -> Json:
    return {
        "name": corpus.name,
        "documents": corpus.documents,
        "candidates": corpus.candidates,
        "spans": corpus.spans,
        "uncertain": corpus.uncertain,
        "byKind": dict(corpus.by_kind),
        "recall": _recall(corpus.recall),
        "manifestAfter": {"sha256": digest_of(corpus.after_sha256)},
        "manifestBefore": {"hmacSha256": digest_of(corpus.before_hmac)},
        "seconds": decimal(corpus.seconds),
    }


def _recall(recall: Recall | None) -> Json:
    if recall is None:
        return None
    return {
        "method": "planted-lookalikes",
        "found": _estimate(recall.found),
        "byKind": {kind: _estimate(found) for kind, found in recall.by_kind.items()},
    }


def _model(model: ModelErasure) -> Json:
    return {
        "name": model.name,
        "before": {"sha256": digest_of(model.before_sha256)},
        "after": {"sha256": digest_of(model.after_sha256)},
        "outcome": model.outcome.value,
        "reason": _code(model.reason),
        "version": model.version,
        "assessmentBefore": _assessment(model.before),
        "attempts": [
            {
                "number": a.number,
                "method": a.method,
                "error": a.error,
                "deletion": deletion(a.trace),
                "outcome": (a.verdict.outcome if a.verdict else Outcome.NOT_RUN).value,
            }
            for a in model.attempts
        ],
    }


def _refuse_text(value: Json, place: str) -> None:
    """Every string and every key is a token; raise `EvidenceInvalid` at its place otherwise."""
    if isinstance(value, str):
        if not _TOKEN.fullmatch(value):
            raise EvidenceInvalid(
                Code.PERSONAL_DATA_IN_EVIDENCE,
                place=place,
                remedy="holds free text; evidence takes codes, digests and numbers only",
            )
    elif isinstance(value, Mapping):
        _refuse_text([str(key) for key in value], f"{place} (a key)")
        for key, inner in value.items():
            _refuse_text(inner, f"{place}.{key}")
    elif isinstance(value, Sequence):
        for index, inner in enumerate(value):
            _refuse_text(inner, f"{place}[{index}]")
