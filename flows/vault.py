"""Where personal data rests: encrypted under one key per request, which a master key wraps and which can be destroyed.

AES-256-GCM throughout. The data key of a request is wrapped with the request's reference as associated data, and each
blob is bound to its request and kind, so that nothing decrypts in another place (compliance.md, 12.4). Commitments are
HMAC-SHA256 under keys derived from the data key (12.3): when it is destroyed, nobody can open or test them again.
"""

import hashlib
import hmac
import os
import secrets
from datetime import UTC, datetime
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Engine,
    LargeBinary,
    String,
    Table,
    delete,
    insert,
    select,
)
from sqlalchemy import text as sql

from domain.errors import Code, EvidenceInvalid, RequestRejected, Unavailable
from flows.database import METADATA, available, transaction

KEY_BYTES = 32
NONCE_BYTES = 12  # of AES-GCM, NIST SP 800-38D, 5.2.1.1
REMEDY_KEYS = "run: lethe keys create"

KEYS = Table(
    "vault_keys",
    METADATA,
    Column("request_ref", String(40), primary_key=True),
    Column("wrapped", LargeBinary, nullable=False),
    Column("created_at", String(40), nullable=False),
)
BLOBS = Table(
    "vault_blobs",
    METADATA,
    Column("request_ref", String(40), primary_key=True),
    Column("kind", String(120), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)


def create_master_key(path: Path) -> None:
    """Write a new master key, readable by its owner only. Raises `RequestRejected` (KEY_EXISTS), never overwrites."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(KEY_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise RequestRejected(
            Code.KEY_EXISTS,
            place=str(path),
            remedy="it exists and is never overwritten: all requests in the vault would be lost.",
        ) from None
    except OSError:
        raise Unavailable(
            Code.DISK, place=str(path), remedy="the key could not be written; check the disk."
        ) from None


def load_master_key(path: Path) -> bytes:
    """Read the master key. Raises `RequestRejected`: KEY_MISSING, KEY_UNSAFE, KEY_UNREADABLE."""
    if not path.is_file():
        raise RequestRejected(
            Code.KEY_MISSING, place=str(path), remedy=f"there is no master key here; {REMEDY_KEYS}"
        )
    if path.stat().st_mode & 0o077:
        raise RequestRejected(
            Code.KEY_UNSAFE,
            place=str(path),
            remedy=f"group or others may read the master key; run: chmod 600 {path}",
        )
    try:
        key = bytes.fromhex(path.read_text("ascii").strip())
    except (OSError, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise RequestRejected(
            Code.KEY_UNREADABLE,
            place=str(path),
            remedy="it is not a master key (64 hex digits); restore it from its backup.",
        )
    return key


class Vault:
    """The blobs of all requests. Nothing in its tables can be read without the master key."""

    def __init__(self, engine: Engine, master_key: bytes) -> None:
        self._engine = engine
        self._master = AESGCM(master_key)
        with available():
            METADATA.create_all(engine, tables=[KEYS, BLOBS])

    def open_request(self, ref: str, within: Connection | None = None) -> None:
        """Make the request's data key."""
        nonce = os.urandom(NONCE_BYTES)
        wrapped = nonce + self._master.encrypt(nonce, os.urandom(KEY_BYTES), _bound("key", ref))
        row = {
            "request_ref": ref,
            "wrapped": wrapped,
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        with transaction(self._engine, within) as connection:
            connection.execute(insert(KEYS).values(row))

    def put(self, ref: str, kind: str, content: bytes, within: Connection | None = None) -> None:
        """Store `content` under the request and kind, in place of what was there."""
        with transaction(self._engine, within) as connection:
            nonce = os.urandom(NONCE_BYTES)
            key = AESGCM(self._data_key(ref, connection))
            sealed = nonce + key.encrypt(nonce, content, _bound("blob", ref, kind))
            connection.execute(delete(BLOBS).where(_is(ref, kind)))
            connection.execute(insert(BLOBS).values(request_ref=ref, kind=kind, sealed=sealed))

    def get(self, ref: str, kind: str) -> bytes | None:
        """What was stored, or None when nothing was. Raises `EvidenceInvalid` when it was tampered with."""
        with transaction(self._engine) as connection:
            sealed = connection.scalar(select(BLOBS.c.sealed).where(_is(ref, kind)))
            if sealed is None:
                return None
            key = AESGCM(self._data_key(ref, connection))
        return _open(key, sealed, _bound("blob", ref, kind), ref)

    def remove(self, ref: str, kind: str) -> None:
        """Take one blob away."""
        with transaction(self._engine) as connection:
            connection.execute(delete(BLOBS).where(_is(ref, kind)))

    def holds(self, ref: str) -> bool:
        """Whether the request can still be read: its key was made and not destroyed."""
        with transaction(self._engine) as connection:
            found = connection.scalar(select(KEYS.c.request_ref).where(KEYS.c.request_ref == ref))
        return found is not None

    def derived_key(self, ref: str, purpose: str) -> bytes:
        """A 32-byte key for one purpose, from the request's data key by HKDF-SHA256 (RFC 5869)."""
        with transaction(self._engine) as connection:
            data_key = self._data_key(ref, connection)
        return HKDF(hashes.SHA256(), KEY_BYTES, None, _bound("derive", purpose)).derive(data_key)

    def request_hmac(self, ref: str, tag: str, *parts: bytes) -> str:
        """A commitment to `parts`: HMAC-SHA256 over length-prefixed tag and parts, as hex."""
        key = self.derived_key(ref, "commitment")
        return hmac.new(key, _prefixed(tag.encode(), *parts), hashlib.sha256).hexdigest()

    def shred(self, ref: str) -> None:
        """Destroy the request's key and blobs: nobody can read the request or test a commitment against a guess again.

        This database only. A backup of it keeps the wrapped key until the backup expires.
        """
        with transaction(self._engine) as connection:
            connection.execute(delete(KEYS).where(KEYS.c.request_ref == ref))
            connection.execute(delete(BLOBS).where(BLOBS.c.request_ref == ref))
        if self._engine.dialect.name == "postgresql":  # a deleted row lies in its page until then
            with available(), self._engine.connect() as connection:
                automatic = connection.execution_options(isolation_level="AUTOCOMMIT")
                automatic.execute(sql("VACUUM (FULL) vault_keys"))

    def _data_key(self, ref: str, connection: Connection) -> bytes:
        wrapped = connection.scalar(select(KEYS.c.wrapped).where(KEYS.c.request_ref == ref))
        if wrapped is None:
            raise RequestRejected(
                Code.REQUEST_UNKNOWN,
                place="the request's reference",
                remedy="the vault has no such request, or its key was destroyed; see: lethe request list",
            )
        return _open(self._master, wrapped, _bound("key", ref), ref)


def _is(ref: str, kind: str) -> ColumnElement[bool]:
    return (BLOBS.c.request_ref == ref) & (BLOBS.c.kind == kind)


def _open(key: AESGCM, sealed: bytes, bound: bytes, ref: str) -> bytes:
    try:
        return key.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound)
    except InvalidTag:
        raise EvidenceInvalid(
            Code.VAULT_UNREADABLE,
            request_ref=ref,
            place="the vault",
            remedy="an entry does not open: another master key wrote it, or it was changed; restore both "
            "from one backup.",
        ) from None


def _bound(*words: str) -> bytes:
    return _prefixed(b"lethe/1", *(word.encode() for word in words))


def _prefixed(*parts: bytes) -> bytes:
    """Each part behind its length, so that no two sequences of parts are the same bytes."""
    return b"".join(len(part).to_bytes(8, "big") + part for part in parts)
