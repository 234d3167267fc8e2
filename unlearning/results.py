"""Results that survive an interruption: a file of scores, each under the digests of all that it depends on.

What stands in the file can be told to nobody who does not have the texts already: they are named by scrypt over all
of them together, under a salt drawn for the file. A plain hash of a short text could be guessed back.
"""

import dataclasses
import hashlib
import json
import math
import os
import secrets
import tempfile
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from domain.errors import Code, RequestRejected, Unavailable
from domain.records import Passage

FORMAT = "lethe attack results 1"
_COST = {"n": 2**15, "r": 8, "p": 1, "maxmem": 2**26}  # 32 MiB and a tenth of a second a guess


@dataclasses.dataclass
class Results:
    """A results file, or none (`path` None): then nothing is known and nothing kept. For one process at a time."""

    path: Path | None
    salt: bytes
    entries: list[dict[str, Any]]

    @classmethod
    def open(cls, path: Path | None) -> "Results":
        """Read the file where there is one. Raises `RequestRejected` when it is not a results file."""
        if path is None or not path.exists():
            return cls(path, secrets.token_bytes(32), [])
        try:
            whole = json.loads(path.read_text(encoding="utf-8"))
            entries, salt = whole["results"], bytes.fromhex(whole["salt"])
            good = whole["format"] == FORMAT and len(salt) == 32
            if not good or not all(e["key"] and e["report"]["scores"] for e in entries):
                raise ValueError(FORMAT)  # noqa: TRY301  joins the other faults of a file
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise RequestRejected(
                Code.EXAMPLES_INVALID,
                place="--results",
                remedy="the file exists and holds no attack results; name a new one.",
            ) from None
        return cls(path, salt, entries)

    def digest(self, groups: Mapping[str, Sequence[Passage]]) -> str:
        """Salted scrypt of all that is known of the passages, by group, in order."""
        texts = {
            name: [
                [
                    p.text.reveal(),
                    p.person,
                    p.answer,
                    p.label,
                    *([s.start, s.end, s.kind.value] for s in p.spans),
                ]
                for p in group
            ]
            for name, group in groups.items()
        }
        return hashlib.scrypt(_canonical(texts), salt=self.salt, **_COST).hex()

    def find(self, key: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The report under exactly this key."""
        wanted = plain(key)
        return next((e["report"] for e in self.entries if e["key"] == wanted), None)

    def add(self, key: Mapping[str, Any], report: Mapping[str, Any]) -> None:
        """Keep a report; the file is replaced at once. Raises `Unavailable` when it cannot be written."""
        self.entries.append({"key": plain(key), "report": plain(report)})
        if self.path is None:
            return
        whole = {"format": FORMAT, "salt": self.salt.hex(), "results": self.entries}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=f".{self.path.name}.", dir=self.path.parent)
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as stream:
                    stream.write(as_json(whole) + "\n")
                    stream.flush()
                    os.fsync(stream.fileno())
                Path(name).replace(self.path)
            finally:  # renamed away when all went well
                Path(name).unlink(missing_ok=True)
        except OSError:
            raise Unavailable(
                Code.DISK,
                place="--results",
                remedy="the file could not be written; free disk space or name another place, and run again.",
            ) from None


@lru_cache
def software() -> str:
    """SHA-256 over the code that the scores come from: a changed attack does not pass off old scores as its own.

    The libraries that compute and cut into tokens count by their versions.
    """
    root, whole = Path(__file__).parents[1], hashlib.sha256()
    for library in ("torch", "transformers", "tokenizers"):
        whole.update(f"{library} {version(library)}\0".encode())
    for path in sorted(p for room in ("domain", "unlearning") for p in (root / room).rglob("*.py")):
        whole.update(f"{path.relative_to(root).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return whole.hexdigest()


def as_json(value: object) -> str:
    """Indented JSON of records, without NaN and infinity."""
    return json.dumps(plain(value), indent=2, allow_nan=False)


def plain(value: Any) -> Any:
    """Records as dicts and lists; a number that is not finite, which JSON does not know, as null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
