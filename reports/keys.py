"""The signing key: one ECDSA P-256 pair on disk, and its name (keyid = SHA-256 of the public key's
DER form).

P-256 because every stock tool checks it: `openssl dgst -verify`, cosign, securesystemslib
(compliance.md, 6.2).
"""

import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from domain.errors import Code, EvidenceInvalid, RequestRejected, Unavailable

PRIVATE_NAME = "signing-key.pem"
PUBLIC_NAME = "signing-key.pub.pem"


@dataclass(frozen=True, slots=True)
class KeyPair:
    """Where the two files lie, and the name of the pair."""

    private: Path
    public: Path
    keyid: str


def create(folder: Path, passphrase: bytes | None) -> KeyPair:
    """Make a pair in `folder`: PKCS#8 PEM (mode 0600, encrypted under `passphrase`) and SPKI PEM.

    Raises `RequestRejected` (KEY_EXISTS) where a pair is already there: a key is never overwritten,
    because evidence signed with it is checked for years.
    """
    private, public = folder / PRIVATE_NAME, folder / PUBLIC_NAME
    for path in (private, public):
        if path.exists():
            raise RequestRejected(
                Code.KEY_EXISTS,
                place=str(path),
                remedy="exists and is never overwritten; name another folder or move this key away",
            )
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, _encryption(passphrase)
    )
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_new(private, pem, 0o600)
        _write_new(public, public_pem(key.public_key()), 0o644)
    except FileExistsError:
        raise RequestRejected(
            Code.KEY_EXISTS, place=str(folder), remedy="another process just made a key here"
        ) from None
    except OSError:
        raise Unavailable(
            Code.DISK, place=str(folder), remedy="the key could not be written; check the disk"
        ) from None
    return KeyPair(private, public, keyid(key.public_key()))


def load_private(path: Path, passphrase: bytes | None) -> ec.EllipticCurvePrivateKey:
    """Read the private key.

    Raises `RequestRejected`: KEY_MISSING, KEY_UNSAFE (others may read the file), KEY_UNREADABLE
    (not a P-256 key in PEM, or the passphrase does not open it).
    """
    if not path.is_file():
        raise RequestRejected(
            Code.KEY_MISSING,
            place=str(path),
            remedy="there is no signing key here; run: lethe keys create",
        )
    if path.stat().st_mode & 0o077:
        raise RequestRejected(
            Code.KEY_UNSAFE,
            place=str(path),
            remedy=f"group or others may read this private key; run: chmod 600 {path}",
        )
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), passphrase)
    except (TypeError, ValueError, UnsupportedAlgorithm, OSError):
        raise RequestRejected(
            Code.KEY_UNREADABLE,
            place=str(path),
            remedy=_why_unreadable(passphrase),
        ) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise RequestRejected(
            Code.KEY_UNREADABLE, place=str(path), remedy="this is not an ECDSA P-256 key"
        )
    return key


def load_public(pem: bytes, *, place: str = "public.pem") -> ec.EllipticCurvePublicKey:
    """Read a public key. Raises `EvidenceInvalid` (SIGNATURE_INVALID) unless it is a P-256 key in
    PEM.
    """
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise EvidenceInvalid(
            Code.SIGNATURE_INVALID, place=place, remedy="this is not a public key in PEM form"
        ) from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise EvidenceInvalid(
            Code.SIGNATURE_INVALID, place=place, remedy="this is not an ECDSA P-256 public key"
        )
    return key


def public_pem(key: ec.EllipticCurvePublicKey) -> bytes:
    """The one PEM form of a public key that the evidence holds."""
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def keyid(key: ec.EllipticCurvePublicKey) -> str:
    """SHA-256 of the SubjectPublicKeyInfo in DER, as lowercase hex: the fingerprint that two people
    compare.
    """
    der = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return sha256(der).hexdigest()


def _encryption(passphrase: bytes | None) -> serialization.KeySerializationEncryption:
    if passphrase:
        return serialization.BestAvailableEncryption(passphrase)
    return serialization.NoEncryption()


def _why_unreadable(passphrase: bytes | None) -> str:
    if passphrase:
        return "the passphrase does not open this key, or the file is no private key in PEM form"
    return "encrypted and no passphrase is set, or not a private key in PEM form"


def _write_new(path: Path, content: bytes, mode: int) -> None:
    """Create the file with its mode from the start; `FileExistsError` when it is there."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
