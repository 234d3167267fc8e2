"""Steps 8 to 10 of the protocol in verify.py: do the verified statements of a bundle fit together?

Everything read here was signed; what is in doubt is whether the signer left something out or
claimed too much.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import TypeVar

from domain.errors import Code, EvidenceInvalid
from domain.outcomes import COMPLETES, Outcome, carries_a_pass

T = TypeVar("T")
Fields = Mapping[str, object]

_OUTSIDE = ("corpus/", "model/")  # subjects that lie at the controller, not in the bundle


@dataclass(frozen=True, slots=True)
class Attempted:
    """What one verification statement says, reduced to what the completion must agree with."""

    place: str
    fields: Fields

    @property
    def identity(self) -> tuple[str, int, str, str, str]:
        """Model, number, method, error, exact or approximate: an attempt is the same one when these are."""
        attempt = take(self.fields, "attempt", dict, self.place)
        return (
            take(take(self.fields, "model", dict, self.place), "name", str, self.place),
            take(attempt, "number", int, self.place),
            take(attempt, "method", str, self.place),
            take(attempt, "error", str, self.place),
            _word(attempt.get("trace")),
        )

    @property
    def completes(self) -> bool:
        """Whether it only trains again what the attempt before had dropped."""
        return take(self.fields, "attempt", dict, self.place).get("reason") == COMPLETES


def subjects(completion: Fields, files: Mapping[str, bytes]) -> None:
    """Step 8: the completion names every other file by its digest, and none that is missing."""
    place = "completion.dsse.json"
    named: dict[str, str] = {}
    for subject in rows(completion, "subject", place):
        name = take(subject, "name", str, place)
        if name in named:
            raise _invalid(place, "names a file twice")
        named[name] = take(take(subject, "digest", dict, place), "sha256", str, place)
    inside = {name: digest for name, digest in named.items() if not name.startswith(_OUTSIDE)}
    present = {
        n for n in files if not n.startswith("completion.") and not n.endswith((".pae", ".sig"))
    }
    for name in sorted(present | set(inside)):
        if name not in files:
            raise _invalid(name, "is named by the completion and missing", Code.EVIDENCE_MISSING)
        if inside.get(name) != sha256(files[name]).hexdigest():
            raise _invalid(name, "is not the file that the completion names", Code.DIGEST_MISMATCH)


def one_case(predicates: Mapping[str, Fields], files: Mapping[str, bytes]) -> None:
    """Step 9: one request, one policy, one run; the commitment came first and no attempt is
    missing.
    """
    place = "completion.dsse.json"
    completion = predicates["completion"]
    request = take(completion, "request", dict, place)
    for name, fields in predicates.items():
        here = f"{name}.dsse.json"
        if take(take(fields, "request", dict, here), "ref", str, here) != request.get("ref"):
            raise _invalid(here, "is about another request")
    verifications = _verifications(predicates)
    listed = [
        (take(model, "name", str, place), *_listed(attempt, place))
        for model in rows(completion, "models", place)
        for attempt in rows(model, "attempts", place)
    ]
    if sorted(listed) != sorted(v.identity for v in verifications):
        raise _invalid(
            place, "lists other attempts than those that have a statement", Code.EVIDENCE_MISSING
        )
    commitment = predicates.get("policy-commitment")
    if commitment is None:
        if verifications:
            raise _invalid(
                "policy-commitment.dsse.json", "is missing from the bundle", Code.EVIDENCE_MISSING
            )
        return
    _committed_first(commitment, completion, verifications, files)


def _committed_first(
    commitment: Fields,
    completion: Fields,
    verifications: list[Attempted],
    files: Mapping[str, bytes],
) -> None:
    """The commitment names the policy and models of the completion, and everything measured points
    back to it.
    """
    place = "policy-commitment.dsse.json"
    if commitment.get("policy") != completion.get("policy"):
        raise _invalid(place, "commits to another policy than the completion names")
    started = {
        take(m, "name", str, place): m.get("before") for m in rows(commitment, "models", place)
    }
    for model in rows(completion, "models", "completion.dsse.json"):
        if started.get(take(model, "name", str, place)) != model.get("before"):
            raise _invalid(place, "commits to other models than the completion names")
    digest = sha256(files[place]).hexdigest()
    committed_at = _moment(commitment, "committedAt", place)
    finished_at = _moment(
        take(completion, "request", dict, place), "finishedAt", "completion.dsse.json"
    )
    for verification in verifications:
        named = take(verification.fields, "policyCommitment", dict, verification.place)
        if named.get("sha256") != digest:
            raise _invalid(verification.place, "was measured under another policy commitment")
        measured_at = _moment(verification.fields, "measuredAt", verification.place)
        if not committed_at <= measured_at <= finished_at:
            raise _invalid(verification.place, "was not measured between commitment and end")


def verdicts(predicates: Mapping[str, Fields]) -> None:
    """Step 10: a model passed only if its last attempt's statement says so, on every attack
    committed to. One that only completes the attempt before, and did not pass, leaves it as it was.
    """
    place = "completion.dsse.json"
    completion = predicates["completion"]
    status = take(take(completion, "request", dict, place), "status", str, place)
    last: dict[str, Attempted] = {}
    attacks = predicates.get("policy-commitment", {}).get("attacks", [])
    for verification in sorted(_verifications(predicates), key=lambda v: v.identity[:2]):
        name = verification.identity[0]
        if name not in last or not verification.completes or _passed(verification, attacks):
            last[name] = verification
    for model in rows(completion, "models", place):
        claimed = take(model, "outcome", str, place) == Outcome.PASS
        final = last.get(take(model, "name", str, place))
        if claimed and (final is None or not _passed(final, attacks)):
            raise _invalid(place, "says that a model passed, and its last statement does not")
        if status == "fulfilled" and not claimed:
            raise _invalid(place, "says fulfilled, and not every model passed")


def _passed(verification: Attempted, attacks: object) -> bool:
    """Whether the statement's verdict is PASS on checks that carry it, with a result for every
    attack committed to.
    """
    verdict, after = verification.fields.get("verdict"), verification.fields.get("after")
    if (
        not isinstance(verdict, dict)
        or not isinstance(after, dict)
        or not isinstance(attacks, list)
    ):
        return False
    checks = rows(verdict, "checks", verification.place)
    run = {a.get("attack") for a in rows(after, "attacks", verification.place)}
    return (
        verdict.get("outcome") == Outcome.PASS
        and carries_a_pass((str(c.get("name")), str(c.get("outcome"))) for c in checks)
        and run >= set(attacks)
    )


def _verifications(predicates: Mapping[str, Fields]) -> list[Attempted]:
    return [
        Attempted(f"{name}.dsse.json", fields)
        for name, fields in sorted(predicates.items())
        if name.startswith("verification-")
    ]


def _word(fields: object) -> str:
    """Exact or approximate; evidence from before this was said has neither."""
    return str(fields.get("deletion", "")) if isinstance(fields, dict) else ""


def _listed(attempt: Fields, place: str) -> tuple[int, str, str, str]:
    return (
        take(attempt, "number", int, place),
        take(attempt, "method", str, place),
        take(attempt, "error", str, place),
        _word(attempt),
    )


def take(fields: Fields, name: str, kind: type[T], place: str) -> T:
    """A field of that type. Raises `EvidenceInvalid` at `place` when it is missing or something
    else.
    """
    value = fields.get(name)
    if not isinstance(value, kind):
        raise _invalid(place, f"has no usable field {name}", Code.BUNDLE_UNREADABLE)
    return value


def rows(fields: Fields, name: str, place: str) -> list[dict[str, object]]:
    """A field that is a list of objects."""
    return list(_objects(take(fields, name, list, place), name, place))


def _objects(values: list[object], name: str, place: str) -> Iterator[dict[str, object]]:
    for value in values:
        if not isinstance(value, dict):
            raise _invalid(place, f"has no usable field {name}", Code.BUNDLE_UNREADABLE)
        yield value


def _moment(fields: Fields, name: str, place: str) -> datetime:
    text = take(fields, name, str, place)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise _invalid(place, f"has no usable time in {name}", Code.BUNDLE_UNREADABLE)
    return moment


def _invalid(place: str, remedy: str, code: Code = Code.DIGEST_MISMATCH) -> EvidenceInvalid:
    return EvidenceInvalid(code, place=place, remedy=remedy)
