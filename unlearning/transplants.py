"""The person in sentences that the model knows about others: forms of text that the person's own passages lack.

What is forgotten in one form of sentence is still said in another, whose words lead to the secret by a path of their
own. Which forms there are, the model tells itself: other people, whose passages are at hand, turn up by name and value
in what it says unasked. Such a sentence with the person's name and values in it is one more passage to forget.
"""

import random
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from domain.records import Owner, Passage, SensitiveSpan, SpanKind
from domain.secrecy import Secret

Values = Mapping[SpanKind, Sequence[str]]
"""What is written about one person, each value once, longest first."""


@dataclass(frozen=True, slots=True)
class Form:
    """A sentence without its person: the text around the values, one more piece than there are values."""

    around: tuple[str, ...] = field(repr=False)
    kinds: tuple[SpanKind, ...]


def transplants(
    texts: Iterable[str],
    members: Sequence[Passage],
    others: Sequence[Passage],
    count: int,
    order: random.Random,
) -> tuple[Passage, ...]:
    """Each person of `members` in the `count` forms most often met that none of their own passages has.

    Args:
        texts: where to look for forms.
        members: passages of whom is to be forgotten.
        others: passages of the people whose names and values are looked for.
        count: forms for each person; fewer come back where the texts have fewer for which the person has values.
        order: decides between several values of a kind.
    """
    known = [_values(passages) for passages in by_person(others).values()]
    met = Counter(form for text in texts if (form := _form(text, known)))
    found: list[Passage] = []
    for person, passages in by_person(members).items():
        mine = _values(passages)
        own = {_form(p.text.reveal(), [mine]) for p in passages}
        fitting = [f for f, _ in met.most_common() if f not in own and mine.keys() >= {*f.kinds}]
        found += (_poured(form, mine, person, order) for form in fitting[:count])
    return tuple(found)


def by_person(passages: Iterable[Passage]) -> dict[str, list[Passage]]:
    """The passages of each person, in their order."""
    people: dict[str, list[Passage]] = {}
    for passage in passages:
        people.setdefault(passage.person, []).append(passage)
    return people


def _values(passages: Iterable[Passage]) -> Values:
    found: dict[SpanKind, dict[str, None]] = {}
    for passage in passages:
        text = passage.text.reveal()
        for span in passage.spans:
            found.setdefault(span.kind, {})[text[span.start : span.end]] = None
    return {kind: sorted(values, key=len, reverse=True) for kind, values in found.items()}


def _form(text: str, people: Iterable[Values]) -> Form | None:
    """The form of a text that names one of the people and at least one of their values; None of any other text.

    A text that names two of them says nothing about whose the values are.
    """
    named = [one for one in people if any(name in text for name in one.get(SpanKind.PERSON, ()))]
    if len(named) != 1:
        return None
    kinds = {value: kind for kind, values in named[0].items() for value in values}
    written = "|".join(map(re.escape, sorted(kinds, key=len, reverse=True)))
    pieces = re.split(rf"(?<!\w)({written})(?!\w)", text)
    form = Form(tuple(pieces[::2]), tuple(kinds[value] for value in pieces[1::2]))
    return form if {SpanKind.PERSON} < {*form.kinds} else None


def _poured(form: Form, mine: Values, person: str, order: random.Random) -> Passage:
    """The form with one person's values: the longest name, and any value of each other kind."""
    ref = "another form#1"
    text, spans = form.around[0], []
    for kind, following in zip(form.kinds, form.around[1:], strict=True):
        value = mine[kind][0] if kind is SpanKind.PERSON else order.choice(mine[kind])
        end = len(text) + len(value)
        spans.append(SensitiveSpan(ref, len(text), end, kind, Owner.SUBJECT, "transplant", 1.0))
        text += value + following
    return Passage(ref, Secret(text), tuple(spans), person)
