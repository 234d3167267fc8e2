"""DSSE v1 envelopes: what is signed is the pre-authentication encoding, never the JSON around it.

https://github.com/secure-systems-lab/dsse/blob/master/protocol.md. The signature is ECDSA P-256
over SHA-256, deterministic (RFC 6979), so that a run resumed after a crash signs the same bytes
again.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from domain.errors import Code, EvidenceInvalid
from reports import canonical
from reports.keys import keyid

PAYLOAD_TYPE = "application/vnd.in-toto+json"


@dataclass(frozen=True, slots=True)
class Envelope:
    """A parsed envelope. `keyids` are unauthenticated hints."""

    payload_type: str
    payload: bytes
    signatures: tuple[bytes, ...]
    keyids: tuple[str, ...]

    def encode(self) -> bytes:
        """The canonical JSON of this envelope, standard base64."""
        signatures = [
            {"keyid": name, "sig": base64.b64encode(signature).decode()}
            for name, signature in zip(self.keyids, self.signatures, strict=True)
        ]
        return canonical.dumps(
            {
                "payload": base64.b64encode(self.payload).decode(),
                "payloadType": self.payload_type,
                "signatures": signatures,
            }
        )


def pae(payload_type: str, payload: bytes) -> bytes:
    """The bytes that are signed: `DSSEv1 <length> <type> <length> <payload>`, lengths in bytes."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign(payload: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
    """The canonical JSON of an envelope around `payload`, with one signature."""
    signature = key.sign(
        pae(PAYLOAD_TYPE, payload), ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
    )
    return Envelope(PAYLOAD_TYPE, payload, (signature,), (keyid(key.public_key()),)).encode()


def open_envelope(
    envelope: bytes,
    public_keys: Sequence[ec.EllipticCurvePublicKey],
    *,
    place: str = "envelope",
) -> bytes:
    """The payload, once one of `public_keys` has verified it; use these bytes and do not parse the
    envelope again.

    Raises `EvidenceInvalid` at `place`: SIGNATURE_INVALID when no key verifies any signature,
    BUNDLE_UNREADABLE when it is no envelope around an in-toto statement.
    """
    parsed = parse(envelope, place=place)
    message = pae(parsed.payload_type, parsed.payload)
    for signature in parsed.signatures:
        if any(_verifies(key, signature, message) for key in public_keys):
            return parsed.payload
    raise EvidenceInvalid(
        Code.SIGNATURE_INVALID,
        place=place,
        remedy="not signed with the key; it was changed, or another key signed it",
    )


def parse(envelope: bytes, *, place: str) -> Envelope:
    """Take an envelope apart without trusting it. Raises `EvidenceInvalid` (BUNDLE_UNREADABLE)."""
    fields = canonical.loads(envelope, place=place)
    entries = fields.get("signatures")
    if fields.get("payloadType") != PAYLOAD_TYPE or not isinstance(entries, list) or not entries:
        raise EvidenceInvalid(
            Code.BUNDLE_UNREADABLE,
            place=place,
            remedy="this is not a signed envelope around an in-toto statement",
        )
    signatures, keyids = [], []
    for entry in entries:
        hint = entry.get("keyid", "") if isinstance(entry, dict) else None
        if not isinstance(hint, str):
            raise EvidenceInvalid(
                Code.BUNDLE_UNREADABLE, place=place, remedy="a signature entry is malformed"
            )
        signatures.append(_decode(entry.get("sig"), place))
        keyids.append(hint)
    return Envelope(
        PAYLOAD_TYPE, _decode(fields.get("payload"), place), tuple(signatures), tuple(keyids)
    )


def _verifies(key: ec.EllipticCurvePublicKey, signature: bytes, message: bytes) -> bool:
    try:
        key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def _decode(text: object, place: str) -> bytes:
    """Standard or URL-safe base64; the DSSE protocol lets a producer choose either."""
    try:
        found = str(text).replace("-", "+").replace("_", "/") if isinstance(text, str) else "?"
        return base64.b64decode(found, validate=True)
    except (ValueError, binascii.Error):
        raise EvidenceInvalid(
            Code.BUNDLE_UNREADABLE, place=place, remedy="a field is not base64"
        ) from None
