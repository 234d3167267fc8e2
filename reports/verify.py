"""Check a bundle, offline, with nothing but the file and, if at hand, a public key one already
trusts.

The protocol, in this order; the numbers stand in the code below.

  1. The zip is in its one canonical form: no byte of it is free.
  2. It holds the files of a bundle: report.html, README.txt, public.pem, and envelopes with their
     .pae and .sig.
  3. public.pem is an ECDSA P-256 key in its one PEM form.
  4. It is the key that the reader trusts. Without a key from the reader this step is not made and
     says so: the fingerprint must then be compared out of band (a letter, a call, a web page), or
     anybody could have signed.
  5. Every envelope carries one signature of that key over its pre-authentication encoding.
  6. Every .pae and .sig is that of its envelope, so that stock tools check the same bytes.
  7. Every payload is a canonical in-toto statement of the phase its file is named after.
  8. The completion names every other file of the bundle by its digest, and no file that is not
     there.
  9. All statements are about one request, one policy and one run: the commitment was signed for
     before anything was measured, and every attempt that the completion lists has its own
     statement, failed ones too.
 10. The status says no more than the verdicts carry: fulfilled needs a PASS, on one check or more,
     in the statement of every model's last attempt.

Every doubt raises `EvidenceInvalid`; its place is the name of the file in doubt. What steps 9 and
10 read was verified in steps 5 to 8.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from domain.errors import Code, EvidenceInvalid, RequestRejected
from reports import archive, canonical, claims, dsse, keys
from reports.bundle import COMPLETION, EARLIER, PUBLIC_KEY, README, REPORT
from reports.statement import STATEMENT_TYPE, predicate_type

_STEPS = {
    1: "the zip is in its one canonical form",
    2: "it holds the files of a bundle and no others",
    3: "public.pem is an ECDSA P-256 key",
    4: "the key is the one you trust",
    5: "every envelope is signed with the key",
    6: "the .pae and .sig files belong to their envelopes",
    7: "every payload is a statement of its phase",
    8: "the completion names every other file by its digest",
    9: "all statements are about one request, and no attempt is missing",
    10: "the status says no more than the verdicts carry",
}
_FIXED = (PUBLIC_KEY, README, REPORT)
_ENDINGS = (".dsse.json", ".pae", ".sig")


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the protocol. `ok` is False only for step 4 when there was no key to compare
    with.
    """

    number: int
    name: str
    ok: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class Verification:
    """What was checked, and what the bundle says. Nothing here is trustworthy unless `trusted`."""

    steps: tuple[Step, ...]
    request_ref: str
    status: str
    keyid: str
    bundle_sha256: str
    report_sha256: str

    @property
    def trusted(self) -> bool:
        """Whether every step was made, the comparison of the key included."""
        return all(step.ok for step in self.steps)


def verify(path: Path, pinned_key: bytes | None = None) -> Verification:
    """Check the bundle at `path` against the protocol; `pinned_key` is a public key in PEM form
    that the reader trusts.

    Raises `EvidenceInvalid` for every doubt, `RequestRejected` (EVIDENCE_MISSING) when there is no
    such file.
    """
    data = _read(path)
    files = archive.unpack(data, place=path.name)  # 1
    names = _names(files)  # 2
    key = _key(files[PUBLIC_KEY])  # 3
    pinned = _compare(key, pinned_key)  # 4
    payloads = {name: _opened(name, files, key) for name in names}  # 5 and 6
    statements = {name: _statement(name, payload) for name, payload in payloads.items()}  # 7
    claims.subjects(statements[COMPLETION], files)  # 8
    predicates = {n: claims.take(s, "predicate", dict, n) for n, s in statements.items()}
    claims.one_case(predicates, files)  # 9
    claims.verdicts(predicates)  # 10
    request = claims.take(predicates[COMPLETION], "request", dict, COMPLETION)
    return Verification(
        tuple(
            Step(number, name, number != 4 or pinned, _note(number, pinned, keys.keyid(key)))
            for number, name in _STEPS.items()
        ),
        claims.take(request, "ref", str, COMPLETION),
        claims.take(request, "status", str, COMPLETION),
        keys.keyid(key),
        sha256(data).hexdigest(),
        sha256(files[REPORT]).hexdigest(),
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        raise RequestRejected(
            Code.EVIDENCE_MISSING, place=str(path), remedy="there is no readable file here"
        ) from None


def _names(files: Mapping[str, bytes]) -> list[str]:
    """Step 2: the names of the envelopes, the completion first."""
    names = [COMPLETION, *sorted({n.split(".")[0] for n in files if EARLIER.match(n)})]
    expected = {*_FIXED, *(name + ending for name in names for ending in _ENDINGS)}
    for name in sorted(expected - set(files)):
        raise _invalid(name, "is missing from the bundle", Code.EVIDENCE_MISSING)
    for name in sorted(set(files) - expected):
        raise _invalid(name, "does not belong in a bundle", Code.BUNDLE_UNREADABLE)
    return names


def _key(pem: bytes) -> ec.EllipticCurvePublicKey:
    """Step 3."""
    key = keys.load_public(pem, place=PUBLIC_KEY)
    if keys.public_pem(key) != pem:
        raise _invalid(PUBLIC_KEY, "is not in its one PEM form", Code.SIGNATURE_INVALID)
    return key


def _compare(key: ec.EllipticCurvePublicKey, pinned: bytes | None) -> bool:
    """Step 4: whether there was a key to compare with; a different one is refused."""
    if pinned is None:
        return False
    trusted = keys.load_public(pinned, place="the key you gave")
    if keys.keyid(trusted) != keys.keyid(key):
        raise _invalid(
            PUBLIC_KEY,
            "is not the key you trust; the bundle was signed by somebody else",
            Code.SIGNATURE_INVALID,
        )
    return True


def _opened(name: str, files: Mapping[str, bytes], key: ec.EllipticCurvePublicKey) -> bytes:
    """Steps 5 and 6: the verified payload of one envelope."""
    place = f"{name}.dsse.json"
    payload = dsse.open_envelope(files[place], [key], place=place)  # 5
    parsed = dsse.parse(files[place], place=place)
    if parsed.encode() != files[place] or parsed.keyids != (keys.keyid(key),):
        raise _invalid(place, "is not in its one canonical form", Code.SIGNATURE_INVALID)
    if files[f"{name}.pae"] != dsse.pae(dsse.PAYLOAD_TYPE, payload):  # 6
        raise _invalid(f"{name}.pae", "is not what the envelope signs", Code.DIGEST_MISMATCH)
    if files[f"{name}.sig"] != parsed.signatures[0]:
        raise _invalid(f"{name}.sig", "is not the envelope's signature", Code.DIGEST_MISMATCH)
    return payload


def _statement(name: str, payload: bytes) -> dict[str, object]:
    """Step 7."""
    place = f"{name}.dsse.json"
    found = canonical.loads(payload, place=place)
    phase = re.sub(r"-[0-9]{3}$", "", name)
    if (
        canonical.dumps(found) != payload  # type: ignore[arg-type]
        or found.get("_type") != STATEMENT_TYPE
        or found.get("predicateType") != predicate_type(phase)
        or set(found) != {"_type", "subject", "predicateType", "predicate"}
    ):
        raise _invalid(place, "is not a canonical statement of its phase", Code.BUNDLE_UNREADABLE)
    return found


def _note(number: int, pinned: bool, keyid: str) -> str:
    if number != 4:
        return ""
    if pinned:
        return f"it has the fingerprint {keyid}"
    return (
        f"no key was given: compare the fingerprint {keyid} out of band, with the one that the "
        "controller published"
    )


def _invalid(place: str, remedy: str, code: Code) -> EvidenceInvalid:
    return EvidenceInvalid(code, place=place, remedy=remedy)
