"""Reviewers read what the other detectors found, several documents at a time, and may only add to it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import NamedTuple

from detectors.annotation import Part
from detectors.broken import or_broken
from detectors.protocol import Case, Reviewer
from domain.records import Owner, SensitiveSpan, SpanKind, merge_spans, outside

_TOGETHER = 64


class Look(NamedTuple):
    """What was found of one person in one document of a batch: the place of the document, the number of the person."""

    place: int
    number: int
    case: Case


def reviewed(looks: Iterator[Look], reviewers: Mapping[str, Reviewer]) -> Iterator[Look]:
    """The same looks with what the reviewers add, many documents at a time. Each reviewer sees the
    documents that name the subject, and what was found up to it.
    """
    while reviewers and (some := list(islice(looks, _TOGETHER))):
        for name, reviewer in reviewers.items():
            named = [n for n, look in enumerate(some) if _names_subject(look.case)]
            added = _review(name, reviewer, [some[n].case for n in named]) if named else []
            for n, spans in zip(named, added, strict=True):
                case = some[n].case
                some[n] = some[n]._replace(
                    case=case._replace(found=merge_spans([*case.found, *spans]))
                )
        yield from some
    yield from looks


def _names_subject(case: Case) -> bool:
    return any(span.owner is Owner.SUBJECT for span in case.found)


def _review(name: str, reviewer: Reviewer, cases: Sequence[Case]) -> list[list[SensitiveSpan]]:
    """`reviewer.review`, with every failure that is not ours turned into `DetectionFailed`."""
    return or_broken(
        partial(reviewer.review, cases),
        place=f"detector {name} at {cases[0].document.ref} or one of the next {_TOGETHER}",
        remedy="the detector failed on these documents; nothing was searched past them",
        request_ref=cases[0].subject.request_ref,
    )


def pieces_outside(text: str, part: Part, known: Iterable[SensitiveSpan]) -> list[Part]:
    """The pieces of a part outside of the known spans, without white space and punctuation at their ends."""
    whole = SensitiveSpan("", *part, SpanKind.OTHER, Owner.UNCERTAIN, "", 0.0)
    pieces = []
    for span in outside(whole, list(known)):
        letters = [at for at in range(span.start, span.end) if text[at].isalnum()]
        if (span.start, span.end) == part:
            pieces.append(part)
        elif letters:
            pieces.append((letters[0], letters[-1] + 1))
    return pieces
