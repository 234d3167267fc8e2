"""What a search found of one person, batch by batch, so that the next search need not look again."""

import json
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from domain.records import Owner, SensitiveSpan, SpanKind

Spans = dict[int, tuple[SensitiveSpan, ...]]
"""By place in a batch."""
Looked = dict[int, Spans]
"""By the number of a person; what is in there names no document."""


class Seen(NamedTuple):
    """One batch: how many documents it has, and the spans in those that have any.

    The spans of a batch that is remembered name no document: another file may have the same texts.
    """

    documents: int
    spans: Spans


@dataclass(repr=False)
class Memory:
    """Batches by their digest. It holds places in texts, which may say where somebody lives: it rests
    encrypted.

    Args:
        basis: what the findings depend on besides the text; see `detectors.basis`.

    """

    basis: str
    _before: dict[bytes, Seen] = field(default_factory=dict, init=False)
    _now: dict[bytes, Seen] = field(default_factory=dict, init=False)
    changed: bool = field(default=False, init=False)

    def seen(self, digest: bytes) -> Seen | None:
        """What was found in this batch; None where nobody has looked."""
        return self._now.get(digest) or self._before.get(digest)

    def keep(self, digest: bytes, seen: Seen) -> None:
        """Remember what was found in a batch."""
        self.changed = self.changed or digest not in self._before
        spans = {
            place: tuple(replace(span, document="") for span in several)
            for place, several in seen.spans.items()
        }
        self._now[digest] = Seen(seen.documents, spans)

    def finish(self) -> None:
        """Forget what was not met again in a search that came to its end."""
        self.changed = self.changed or self._before.keys() != self._now.keys()
        self._before = {}

    def dump(self) -> bytes:
        """All of it, for `load`."""
        seen = {
            digest.hex(): [one.documents, [[p, *map(_written, s)] for p, s in one.spans.items()]]
            for digest, one in (self._before | self._now).items()
        }
        return json.dumps({"basis": self.basis, "seen": seen}, separators=(",", ":")).encode()

    @staticmethod
    def load(content: bytes | None, basis: str) -> "Memory":
        """What was dumped on the same basis; on another one, or from nothing, an empty memory."""
        memory = Memory(basis)
        written = json.loads(content) if content else {}
        if written.get("basis") == basis:
            for digest, (documents, spans) in written["seen"].items():
                read = {place: tuple(map(_read, several)) for place, *several in spans}
                memory._before[bytes.fromhex(digest)] = Seen(documents, read)
        return memory


def _written(span: SensitiveSpan) -> list[object]:
    return [span.start, span.end, span.kind, span.owner, span.detector, span.confidence]


def _read(row: list[Any]) -> SensitiveSpan:
    start, end, kind, owner, detector, confidence = row
    return SensitiveSpan("", start, end, SpanKind(kind), Owner(owner), detector, confidence)
