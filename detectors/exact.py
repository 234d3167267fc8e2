"""The exact index: every written form of the identifiers that came with the request."""

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from detectors.addresses import address_forms
from detectors.dates import date_forms
from detectors.folding import Folded, digits_of, fold
from detectors.forms import Form
from detectors.names import alias_forms, is_bare, name_forms
from detectors.net import Net
from detectors.numbers import email_forms, phone_forms, record_forms, require_regions
from detectors.people import people
from detectors.shapes import SURE
from detectors.slips import slip_forms
from domain.errors import Code, RequestRejected
from domain.records import (
    Document,
    IdentifierKind,
    Owner,
    SensitiveSpan,
    SpanKind,
    Subject,
    merge_spans,
)

_Hit = tuple[Form, int, int]

_FORMS: dict[IdentifierKind, Callable[[str], list[Form]]] = {
    IdentifierKind.NAME: lambda value: [*name_forms(value), *slip_forms(value)],
    IdentifierKind.ALIAS: alias_forms,
    IdentifierKind.EMAIL: email_forms,
    IdentifierKind.ADDRESS: address_forms,
    IdentifierKind.BIRTH_DATE: date_forms,
    IdentifierKind.RECORD_ID: record_forms,
}


@dataclass(frozen=True)
class ExactIndex:
    """Finds the subject's own identifiers in all their written forms.

    Two kinds of evidence: a form that names the person alone (full name, e-mail, phone, record
    number, whole address), and a form that does so only in a document where one of the first kind
    occurs (birth date, given name, street). A birth date or street without the person is UNCERTAIN:
    it may be anybody's. So is a name with a slip (`detectors.slips`), unless a number or e-mail
    address says whose it is.

    Args:
        regions: ISO 3166 codes by which a phone number without a country prefix is read.

    """

    regions: tuple[str, ...] = ("US",)
    _known: dict[str, tuple[Subject, tuple[Form, ...]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    _last: list[tuple[list[Subject], Net]] = field(
        default_factory=list, init=False, repr=False, compare=False
    )

    name = "exact"

    def __post_init__(self) -> None:
        require_regions(self.regions)

    def find(
        self, document: Document, subject: Subject, among: AbstractSet[int] | None = None
    ) -> list[SensitiveSpan]:
        """All forms in this document, owner SUBJECT or UNCERTAIN, disjoint and sorted.

        Args:
            document: where to look.
            subject: whom to look for.
            among: the places of the forms that may be there, as `Net.catch` has them; None for any.

        Raises `RequestRejected` when the request has no identifier to look for.

        """
        text = document.text.reveal()
        folded = fold(text)
        digits = digits_of(folded.text)
        forms = self.forms(subject)
        possible = [
            form
            for form in (forms if among is None else map(forms.__getitem__, sorted(among)))
            if form.possible(folded.text, digits)
        ]
        alone = [hit for form in possible if form.alone for hit in _hits(form, folded)]
        names = [hit for hit in alone if hit[0].kind is SpanKind.PERSON]
        parts = [
            hit
            for form in possible
            if not form.alone and (alone or not form.is_part)
            for hit in _hits(form, folded, names)
        ]
        strong, weak, namesake = _weigh(text, alone, parts)
        spans = [_span(document, hit, Owner.SUBJECT) for hit in strong]
        for hit in weak:
            person = hit[0].kind is SpanKind.PERSON
            if hit[0].near is not None:
                unsure = not _identified(strong)
            elif hit[0].is_part and not strong:
                continue  # a given name without the person is everybody's
            else:
                unsure = not strong or (person and namesake)
            spans.append(_span(document, hit, Owner.UNCERTAIN if unsure else Owner.SUBJECT))
        return merge_spans(spans)

    def knows(self, document: Document, subject: Subject) -> bool:
        """Whether the subject is surely in this document."""
        return self.mentions(document.text.reveal(), subject) and any(
            span.owner is Owner.SUBJECT for span in self.find(document, subject)
        )

    def mentions(self, text: str, subject: Subject) -> bool:
        """Whether a `find` is worth it: a quick look that never misses what it would find."""
        return any(True for _ in self.net([subject]).catch([text]))

    def net(self, subjects: Sequence[Subject]) -> Net:
        """One net for all of these people; the last one is kept."""
        people = list(subjects)
        if not self._last or self._last[0][0] != people:
            net = Net(people, [self.forms(subject) for subject in people])
            self._last[:] = [(people, net)]
        return self._last[0][1]

    def forms(self, subject: Subject) -> tuple[Form, ...]:
        """The forms of this subject, made once."""
        known = self._known.get(subject.request_ref)
        if known is not None and known[0] == subject:
            return known[1]
        forms = tuple(
            form
            for identifier in subject.identifiers
            for form in self._forms_of(identifier.kind, identifier.value.reveal())
        )
        if not forms:
            raise RequestRejected(
                Code.REQUEST_NO_IDENTIFIERS,
                place="identifiers",
                remedy="name at least one identifier with letters or digits in it",
                request_ref=subject.request_ref,
            )
        self._known[subject.request_ref] = (subject, forms)
        return forms

    def _forms_of(self, kind: IdentifierKind, value: str) -> list[Form]:
        if kind is IdentifierKind.PHONE:
            return phone_forms(value, self.regions)
        return _FORMS[kind](value)


def _weigh(text: str, alone: list[_Hit], parts: list[_Hit]) -> tuple[list[_Hit], list[_Hit], bool]:
    """Of the hits that name the person alone, and those that do not: which of all do so here, the
    others, and whether a namesake is in the text.

    "M. Tolvik" beside Mira Tolvik may be either, and an address beside somebody else's name is a
    household's. Where nothing depends on it, nobody looks for other names.
    """
    if not alone:
        return [], parts, False
    household = all(hit[0].kind is SpanKind.ADDRESS for hit in alone)
    shared = [hit for hit in alone if hit[0].titled]
    if not household and not shared and all(h[0].kind is not SpanKind.PERSON for h in parts):
        return alone, parts, False
    names = list(people(text))
    namesake = _has_namesake(text, alone, names)
    if household and any(score >= SURE for _, _, score in names):
        return [], alone + parts, namesake
    if not namesake:
        return alone, parts, False
    return [hit for hit in alone if not hit[0].titled], shared + parts, True


def _identified(strong: list[_Hit]) -> bool:
    """Whether a name with a slip is surely the person's: their number or e-mail address is there,
    and their name is not, beside which it would be somebody else's.
    """
    kinds = {hit[0].kind for hit in strong}
    return SpanKind.PERSON not in kinds and bool(kinds - {SpanKind.ADDRESS})


def _hits(form: Form, folded: Folded, names: Sequence[_Hit] = ()) -> list[_Hit]:
    """Where a form is, except for parts of a name inside one of these whole ones."""
    places = form.matches(folded)
    if form.kind is not SpanKind.PERSON:
        return [(form, start, end) for start, end in places]
    return [
        (form, start, end)
        for start, end in places
        if not any(first <= start and end <= last for _, first, last in names)
        and is_bare(form, folded.original, start, end)
    ]


def _span(document: Document, hit: _Hit, owner: Owner) -> SensitiveSpan:
    form, start, end = hit
    return SensitiveSpan(
        document.ref, start, end, form.kind, owner, ExactIndex.name, form.confidence
    )


def _has_namesake(text: str, strong: list[_Hit], names: list[tuple[int, int, float]]) -> bool:
    """Whether somebody else in the text shares a part of the name, so that the part alone may mean
    either.
    """
    own = [(start, end) for form, start, end in strong if form.kind is SpanKind.PERSON]
    words = {w for start, end in own for w in fold(text[start:end]).text.replace(",", " ").split()}
    return any(
        not any(start < b and a < end for a, b in own)
        and words & set(fold(text[start:end]).text.split())
        for start, end, _ in names
    )
