"""Whose is it? The nearest name before a finding, in the same sentence, decides."""

import re
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

from detectors.shapes import SURE
from domain.records import Document, Owner, SensitiveSpan, SpanKind, merge_spans

_BORDER = re.compile(
    r"(?<!\b[A-Z])(?<!\b(?:Mr|Ms|Dr|St))(?<!\bMrs)[.!?]+[\"')\]]*\s+(?=[^\W_a-z])|\n+|;\s"
)
"""Ends of sentences and clauses. A question and the answer behind it are one: see `_sentences`."""


def attribute(
    document: Document, subject_spans: Iterable[SensitiveSpan], found: Iterable[SensitiveSpan]
) -> list[SensitiveSpan]:
    """The subject's spans and the found ones, each with its owner.

    A finding that overlaps one of the subject's own spans belongs to it. When the document names
    only the subject, sure findings are the subject's. When it names several people, the nearest
    name before the finding in the same sentence decides, and where there is none the owner stays
    UNCERTAIN, as it does for unsure findings. The subject's own birth date or street next to
    somebody else's name is UNCERTAIN too: it may be a shared one.

    Returns disjoint, sorted spans.
    """
    text = document.text.reveal()
    own = list(subject_spans)
    named = [(s.start, s.owner) for s in own if s.kind is SpanKind.PERSON]
    free = [f for f in found if not any(f.start < s.end and s.start < f.end for s in own)]
    others = [f for f in free if f.kind is SpanKind.PERSON and f.confidence >= SURE]
    named += [(f.start, Owner.OTHER) for f in others]
    several = any(owner is not Owner.SUBJECT for _, owner in named)
    present = any(s.owner is Owner.SUBJECT for s in own)
    sentences = _sentences(text) if several else []
    result = [_reconsider(s, named, sentences) if several else s for s in own]
    for finding in free:
        if finding.kind is SpanKind.PERSON:
            owner = Owner.OTHER if finding.confidence >= SURE else Owner.UNCERTAIN
        elif finding.confidence < SURE:
            owner = Owner.UNCERTAIN
        elif several:
            owner = _nearest(finding, named, sentences)
        else:
            owner = Owner.SUBJECT if present else Owner.UNCERTAIN
        result.append(replace(finding, owner=owner))
    return merge_spans(result)


def _reconsider(
    span: SensitiveSpan, named: list[tuple[int, Owner]], sentences: list[tuple[int, int]]
) -> SensitiveSpan:
    """A birth date or an unsure address directly behind another person's name is not surely the
    subject's.
    """
    weak = span.kind is SpanKind.DATE or (span.kind is SpanKind.ADDRESS and span.confidence < 0.9)
    if weak and span.owner is Owner.SUBJECT and _nearest(span, named, sentences) is Owner.OTHER:
        return replace(span, owner=Owner.UNCERTAIN)
    return span


def _nearest(
    span: SensitiveSpan, named: list[tuple[int, Owner]], sentences: list[tuple[int, int]]
) -> Owner:
    """The owner of the last name before the span in its sentence; UNCERTAIN without one."""
    start = next((a for a, b in sentences if a <= span.start < b), 0)
    before = [(at, owner) for at, owner in named if start <= at < span.start]
    return max(before, key=lambda name: name[0])[1] if before else Owner.UNCERTAIN


def _sentences(text: str) -> list[tuple[int, int]]:
    """Start and end of each sentence or clause. What follows a question mark answers it and stays
    with it.
    """
    ends = [m.end() for m in _BORDER.finditer(text) if "?" not in m.group()]
    return [(a, b) for a, b in pairwise([0, *ends, len(text) + 1]) if a < b]
