"""Passages and encoded rows made by hand."""

from collections.abc import Sequence
from dataclasses import replace

from domain.records import Owner, Passage, SensitiveSpan, SpanKind
from domain.secrecy import Secret
from unlearning.encoding import Encoded, TokenSpan
from unlearning.models import LanguageModel


def passage(
    text: str,
    *spans: tuple[int, int, SpanKind],
    person: str = "p0",
    ref: str = "a.jsonl#1",
) -> Passage:
    """A passage with spans at the given places."""
    made = tuple(SensitiveSpan(ref, a, b, kind, Owner.SUBJECT, "test", 1.0) for a, b, kind in spans)
    return Passage(ref, Secret(text), made, person)


def marked(text: str, *values: tuple[str, SpanKind], person: str = "p0") -> Passage:
    """A passage with a span at the first place of each value."""
    return passage(
        text, *((text.index(v), text.index(v) + len(v), k) for v, k in values), person=person
    )


def said(item: Passage) -> list[tuple[SpanKind, str]]:
    """The spans of a passage as text, in order."""
    text = item.text.reveal()
    return [(s.kind, text[s.start : s.end]) for s in sorted(item.spans)]


def row(
    ids: Sequence[int], *spans: tuple[int, int], person: str = "p0", text: str = "text"
) -> Encoded:
    """An encoded passage with secrets at the given token places."""
    sensitive = tuple(any(a <= t < b for a, b in spans) for t in range(len(ids)))
    made = tuple(TokenSpan(a, b, SpanKind.NUMBER) for a, b in spans)
    return Encoded(tuple(ids), sensitive, made, person, text)


def framed(model: LanguageModel, rows: Sequence[Encoded]) -> tuple[Encoded, ...]:
    """Rows of a causal model as `model` reads them: [CLS] and [SEP] around them for a masked one."""
    if not model.masked:
        return tuple(rows)
    tokenizer = model.tokenizer
    return tuple(
        replace(
            r,
            ids=(tokenizer.cls_token_id, *r.ids[1:], tokenizer.sep_token_id),
            sensitive=(*r.sensitive, False),
        )
        for r in rows
    )
