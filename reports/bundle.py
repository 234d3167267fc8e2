"""The evidence of one case as one zip: assemble the files, sign the completion, write them whole or
not at all.
"""

import os
import re
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from domain.errors import Code, EvidenceInvalid, Unavailable
from domain.outcomes import CaseFile
from domain.secrecy import Secret
from reports import archive, dsse, keys, report, statement
from reports.commands import readme
from reports.guard import refuse_personal_data

COMPLETION, REPORT, PUBLIC_KEY, README = "completion", "report.html", "public.pem", "README.txt"
COMMITMENT = "policy-commitment"
EARLIER = re.compile(r"policy-commitment|verification-[0-9]{3}")
"""The names of the envelopes that come before the completion, without their endings."""


def verification_name(number: int) -> str:
    """The name of the number-th verification of a case, counted from 1 over all its models and
    attempts.
    """
    return f"verification-{number:03d}"


def assemble(
    case: CaseFile,
    earlier: Mapping[str, bytes],
    key: ec.EllipticCurvePrivateKey,
    *,
    forbidden: Iterable[Secret],
) -> dict[str, bytes]:
    """Every file of the bundle: report, README, public key, and each envelope with its .pae and
    .sig.

    `earlier` maps `policy-commitment`, `verification-001` ... to the envelopes signed before.
    `forbidden` holds the person's identifiers; they are looked for in every file before the
    completion is signed. Raises `EvidenceInvalid` for one that is found, for an envelope that the
    key did not sign, and for a case that contradicts its verdicts.
    """
    files = {
        REPORT: report.render(case).encode(),
        PUBLIC_KEY: keys.public_pem(key.public_key()),
        README: readme(case.request_ref).encode(),
    }
    for name, envelope in earlier.items():
        if not EARLIER.fullmatch(name):
            raise ValueError("an earlier envelope is policy-commitment or verification-NNN")
        files |= _triple(name, envelope, key.public_key())
    payload = statement.completion(
        case,
        report_sha256=_digest(files[REPORT]),
        public_key_sha256=_digest(files[PUBLIC_KEY]),
        readme_sha256=_digest(files[README]),
        earlier={f"{name}.dsse.json": _digest(earlier[name]) for name in earlier},
    )
    refuse_personal_data(
        files | {f"{COMPLETION}.pae": payload}, forbidden, own_words=report.own_words()
    )
    return files | _triple(COMPLETION, dsse.sign(payload, key), key.public_key())


def write(out: Path, files: Mapping[str, bytes]) -> str:
    """Write the canonical zip and return its SHA-256.

    Beside `out` first, then renamed: a reader never sees half a bundle. Raises `Unavailable`
    (DISK); nothing is left behind then.
    """
    content = archive.pack(files)
    partial = out.with_name(out.name + ".partial")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(out)
    except OSError:
        partial.unlink(missing_ok=True)
        raise Unavailable(
            Code.DISK,
            place=str(out),
            remedy="the bundle could not be written; check space and rights",
        ) from None
    return _digest(content)


def _triple(name: str, envelope: bytes, public_key: ec.EllipticCurvePublicKey) -> dict[str, bytes]:
    """An envelope, the bytes that were signed, and the signature alone, for tools that know no
    DSSE.
    """
    place = f"{name}.dsse.json"
    payload = dsse.open_envelope(envelope, [public_key], place=place)
    parsed = dsse.parse(envelope, place=place)
    if len(parsed.signatures) != 1 or parsed.encode() != envelope:
        raise EvidenceInvalid(
            Code.BUNDLE_UNREADABLE,
            place=place,
            remedy="the envelope is not in the one form that this product writes",
        )
    return {
        place: envelope,
        f"{name}.pae": dsse.pae(dsse.PAYLOAD_TYPE, payload),
        f"{name}.sig": parsed.signatures[0],
    }


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()
