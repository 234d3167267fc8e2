"""Whose is it? Every cue gives evidence for somebody; the strongest decides, or nobody can say."""

from collections.abc import Iterable
from dataclasses import replace

from detectors.cast import NOBODY, SUBJECT, UNKNOWN
from detectors.cues import evidence, strongest
from detectors.folding import fold
from detectors.layout import Layout
from detectors.mentions import cast
from detectors.scene import Evidence, Scene
from detectors.shapes import SURE, announces
from domain.records import Document, Owner, SensitiveSpan, SpanKind, merge_spans

_PLAIN = 0.7
"""Evidence from which on a secret is somebody's of whom we know the name alone."""
_CLEAR = 0.75
"""Evidence from which on an unsure finding is somebody's."""


def attribute(
    document: Document, subject_spans: Iterable[SensitiveSpan], found: Iterable[SensitiveSpan]
) -> list[SensitiveSpan]:
    """The subject's spans and the found ones, each with its owner.

    1. A finding that overlaps one of the subject's own secrets belongs to it. 2. The cues decide
    (`detectors.cues`), and what they leave open is whose the same value is elsewhere in the
    document. 3. What still is open is the subject's where the document names nobody else, and
    otherwise UNCERTAIN. 4. An unsure finding needs more evidence, and a date the head of its
    column. The subject's own birth date or street that the cues give to another is UNCERTAIN: it
    may be a shared one.

    Returns disjoint, sorted spans.
    """
    text = document.text.reveal()
    own, found = sorted(subject_spans), list(found)
    if not found and not any(_weak(span) and span.owner is Owner.SUBJECT for span in own):
        return merge_spans(own)  # nothing to decide
    new = (f for f in found if not any(_belongs(f, s) for s in own))  # 1
    free = merge_spans(replace(f, owner=Owner.UNCERTAIN) for f in new)
    layout = Layout(text)
    people = cast(layout, own, free)
    if not free and not any(person > SUBJECT for person in people.owners):
        return merge_spans(own)  # nobody else whose it could be
    secrets = sorted(s for s in (*own, *free) if s.kind is not SpanKind.PERSON)
    scene, doubted = Scene(layout, people, secrets), people.doubted
    decided = {f: strongest(evidence(scene, f), doubted) for f in secrets}  # 2
    _repeat(text, decided)
    alone = Owner.SUBJECT if people.names_subject_alone() else Owner.UNCERTAIN
    result = [_reconsider(span, decided) for span in own]
    for finding in free:
        if finding.kind is SpanKind.PERSON:
            owner = Owner.OTHER if people.believes(finding) else Owner.UNCERTAIN
        else:
            announced = announces(layout.head(finding.start), finding.kind)
            sure = finding.confidence >= SURE or announced
            said = decided[finding]
            owner = _owner(finding, said, alone, sure=sure, doubted=said[0] in doubted)  # 3, 4
        result.append(replace(finding, owner=owner))
    return merge_spans(result)


def _belongs(finding: SensitiveSpan, own: SensitiveSpan) -> bool:
    """Whether a finding is one of the subject's spans over again; a secret with a name in it is
    not.
    """
    again = own.kind is not SpanKind.PERSON or finding.kind is SpanKind.PERSON
    return again and finding.start < own.end and own.start < finding.end


def _owner(
    finding: SensitiveSpan, said: Evidence, alone: Owner, *, sure: bool, doubted: bool
) -> Owner:
    person, share = said
    if not sure and (share < _CLEAR or finding.kind is SpanKind.DATE):
        return Owner.UNCERTAIN
    if person in {UNKNOWN, NOBODY}:
        return alone if not share else Owner.UNCERTAIN
    if person == SUBJECT:
        return Owner.SUBJECT
    return Owner.UNCERTAIN if doubted and share < _PLAIN else Owner.OTHER


def _reconsider(span: SensitiveSpan, decided: dict[SensitiveSpan, Evidence]) -> SensitiveSpan:
    """A birth date or an unsure address that is another person's by the text is not surely the
    subject's.
    """
    if _weak(span) and span.owner is Owner.SUBJECT and decided[span][0] > SUBJECT:
        return replace(span, owner=Owner.UNCERTAIN)
    return span


def _weak(span: SensitiveSpan) -> bool:
    return span.kind is SpanKind.DATE or (span.kind is SpanKind.ADDRESS and span.confidence < 0.9)


def _repeat(text: str, decided: dict[SensitiveSpan, Evidence]) -> None:
    """What no cue decides is whose the same value is elsewhere, if one person's."""
    whose: dict[str, set[Evidence]] = {}
    for finding, said in decided.items():
        if said[0] >= SUBJECT:
            whose.setdefault(_value(text, finding), set()).add(said)
    for finding, (person, _) in decided.items():
        others = whose.get(_value(text, finding), set())
        if person == UNKNOWN and len({other for other, _ in others}) == 1:
            decided[finding] = max(others)


def _value(text: str, finding: SensitiveSpan) -> str:
    """A value as it is compared: letters and digits alone."""
    return "".join(c for c in fold(text[finding.start : finding.end]).text if c.isalnum())
