"""Other people in the corpus, and ordinary text: what unlearning must leave as it is."""

import random
import re
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import replace

from detectors.exact import ExactIndex
from detectors.folding import digits_of, fold
from detectors.looking import find
from detectors.people import PERSON_SCORE
from detectors.people import people as names_in
from detectors.protocol import Detector
from detectors.shapes import SURE, findings
from detectors.unionfind import Groups
from domain.records import (
    Document,
    IdentifierKind,
    Owner,
    Passage,
    SensitiveSpan,
    SpanKind,
    Subject,
    merge_spans,
)

_SPAN_KINDS: dict[IdentifierKind, SpanKind] = {
    IdentifierKind.EMAIL: SpanKind.EMAIL,
    IdentifierKind.PHONE: SpanKind.PHONE,
    IdentifierKind.ADDRESS: SpanKind.ADDRESS,
    IdentifierKind.BIRTH_DATE: SpanKind.DATE,
    IdentifierKind.RECORD_ID: SpanKind.NUMBER,
}
_SECRET = re.compile(
    r"@|\d[\d\s().\-/]{5,}\d|\b\d{1,6}[A-Za-z]?\s+(?:[A-Z0-9][\w.'\u2019-]*\s+){1,6}?(?=\S)|\b\d{4}\b"
)
"""What a document with a secret has at least: an @, a long number, a house number, a year."""
_EMAIL = re.compile(r"(?:\w|\\_)(?:[\w.+%-]|\\.)*@[\w-]+(?:\\?\.[\w-]+)+")
_NUMBER = re.compile(r"\+?\(?\d(?:[\s().\-/]{0,2}\d){6,14}")
_SHARED = 2
_DATE_LIKE = re.compile(r"(?:1[89]|20)\d{2}\D\d{1,2}\D\d{1,2}|\d{1,2}\D\d{1,2}\D(?:1[89]|20)\d{2}")


def neighbours(  # noqa: PLR0917 - the last two are named by every caller
    documents: Iterable[Document],
    subject: Subject,
    detector: Detector,
    exclude: AbstractSet[str],
    people: int,
    seed: int,
) -> tuple[Passage, ...]:
    """Documents of other people with the same kinds of secrets as the subject, grouped by person.

    1. Leave out the subject's documents, and those without anything like a secret. 2. Group the
    rest by shared names, e-mail addresses and numbers (union-find). 3. Draw people in an order that
    depends on the seed alone, let the detector look at their documents, and keep those where a sure
    secret stands next to a name; stop at the number asked for.

    Args:
        documents: the corpus.
        subject: who is left out, and whose kinds of identifiers count.
        detector: finds spans; its owner and order do not matter.
        exclude: references of documents to leave out.
        people: how many people are wanted; fewer come back when the corpus has fewer.
        seed: of the drawing.

    Returns:
        Passages whose spans are the secrets and the name of that person, owner OTHER; `person` is
        "p0001" and on.

    Raises:
        DetectionFailed: the detector broke.

    """
    kinds = {_SPAN_KINDS[i.kind] for i in subject.identifiers if i.kind in _SPAN_KINDS}
    kinds = kinds or set(_SPAN_KINDS.values())
    index = ExactIndex()
    kept: list[tuple[Document, list[str]]] = []
    for document in documents:  # 1
        text = document.text.reveal()
        if document.ref in exclude or not _SECRET.search(text):
            continue
        keys = _keys(text)
        if keys and not index.knows(document, subject):
            kept.append((document, keys))
    persons = _group(kept)  # 2
    order = sorted(persons, key=lambda root: persons[root][0].ref)
    random.Random(seed).shuffle(order)
    passages: list[Passage] = []
    count = 0
    for root in order:  # 3
        if count == people:
            break
        label = f"p{count + 1:04d}"
        found = [
            Passage(d.ref, d.text, tuple(spans), label, d.answer, d.label)
            for d in persons[root]
            if (spans := _spans(d, find("neighbours", detector, d, subject), kinds))
        ]
        if any(_is_sure_name(span) for passage in found for span in passage.spans):
            passages += found
            count += 1
    return tuple(passages)


def ordinary(
    documents: Iterable[Document], exclude: AbstractSet[str], limit: int, seed: int
) -> tuple[Passage, ...]:
    """Text without personal spans: no e-mail address, no long number, no birth, no address.

    Documents that name nobody come first; those with something like a name fill up what is missing.
    The choice depends on the seed alone.
    """
    nameless: list[Document] = []
    named: list[Document] = []
    for document in documents:
        text = document.text.reveal()
        if document.ref in exclude or not text.strip() or is_personal(text):
            continue
        (named if any(names_in(text)) else nameless).append(document)
    chance = random.Random(seed)
    chance.shuffle(nameless)
    chance.shuffle(named)
    return tuple(
        Passage(d.ref, d.text, (), "", d.answer, d.label) for d in (nameless + named)[:limit]
    )


def is_personal(text: str) -> bool:
    """Whether a text holds a sure secret by its looks."""
    return any(
        finding.score >= SURE for finding in findings(text) if finding.kind is not SpanKind.PERSON
    )


def _is_sure_name(span: SensitiveSpan) -> bool:
    return span.kind is SpanKind.PERSON and span.confidence >= SURE


def _keys(text: str) -> list[str]:
    """What a document can be recognised by: its one name, e-mail addresses, long numbers.

    Empty when it names several people surely: nobody could say whose secrets it holds.
    """
    scores: dict[str, float] = {}
    for start, end, score in names_in(text):
        name = " ".join(fold(text[start:end]).text.split())
        scores[name] = max(score, scores.get(name, 0.0))
    sure = [name for name, score in scores.items() if score >= SURE] or [
        name for name, score in scores.items() if score >= PERSON_SCORE
    ]
    if len(sure) > 1:
        return []
    keys = [f"name {name}" for name in sure]
    keys += [f"mail {fold(m.group()).text.replace(chr(92), '')}" for m in _EMAIL.finditer(text)]
    for match in _NUMBER.finditer(text):
        if not _DATE_LIKE.fullmatch(match.group()):
            keys.append(f"number {digits_of(match.group())}")
    return list(dict.fromkeys(keys))


def _group(kept: list[tuple[Document, list[str]]]) -> dict[str, list[Document]]:
    """Documents by person. A value that stands beside three names or more is a switchboard's and
    joins nobody.
    """
    names: dict[str, set[str]] = {}
    for _, keys in kept:
        for key in keys:
            names.setdefault(key, set()).update(k for k in keys if k.startswith("name "))
    groups = Groups()
    for _, keys in kept:
        groups.join([keys[0], *(k for k in keys[1:] if len(names[k]) <= _SHARED)])
    persons: dict[str, list[Document]] = {}
    for document, keys in kept:
        persons.setdefault(groups.root(keys[0]), []).append(document)
    return persons


def _spans(
    document: Document, found: list[SensitiveSpan], kinds: AbstractSet[SpanKind]
) -> list[SensitiveSpan]:
    """The sure secrets and the name of the one person of this document; none when there are
    several, or no secret.
    """
    text = document.text.reveal()
    secrets = [s for s in found if s.kind is not SpanKind.PERSON and s.confidence >= SURE]
    named = sorted(
        (s for s in found if s.kind is SpanKind.PERSON), key=lambda s: (-s.confidence, s)
    )
    if not any(s.kind in kinds for s in secrets):
        return []
    words = [set(fold(text[s.start : s.end]).text.split()) for s in named]
    own = [s for s, w in zip(named, words, strict=True) if w & words[0]]
    if any(s.confidence >= SURE for s in named if s not in own):
        return []
    return merge_spans(replace(s, owner=Owner.OTHER) for s in [*secrets, *own])
