"""The person's secrets behind other text than their own: less of it, somebody else's before it, or capitals.

A secret that is forgotten where it stands is still the model's first choice behind half of the sentence, or in another
document: its own tokens lead on to each other. So it is forgotten behind any text, as chance cuts it.
"""

import random
from collections.abc import Iterator, Sequence

from domain.records import Owner, Passage, SensitiveSpan, SpanKind
from domain.secrecy import Secret

MOST = 120
"""Characters that are kept of the text before a secret, and of the text put in front, at most."""


def excerpts(
    passages: Sequence[Passage], count: int, fronts: Sequence[str], order: random.Random
) -> Iterator[Passage]:
    """Each secret of some passages `count` times, as the end of a short text; names are no secrets here.

    What is kept before it is cut anywhere, in the middle of a word too, at a length whose logarithm is even; every
    fifth is in capitals, and half stand behind one of `fronts`. The same `order` cuts the passages of a stranger,
    whose n-th secret answers the person's n-th, in the same places.
    """
    for passage in passages:
        text = passage.text.reveal()
        secrets = (s for s in sorted(passage.spans) if s.kind is not SpanKind.PERSON)
        for span in secrets:
            for _ in range(count):
                before = _kept(text[: span.start], order.random())
                capitals, front = order.random() < 0.2, order.random()
                before = before.upper() if capitals else before
                if fronts and front < 0.5:
                    gap = "" if before[:1].isspace() else " "
                    before = fronts[int(2 * front * len(fronts))][-MOST:] + gap + before
                yield _excerpt(before, text[span.start : span.end], span.kind, passage.person)


def _kept(before: str, share: float) -> str:
    """The end of a text: (1 + MOST)^share - 1 characters, but all of the blanks that it ends in."""
    blanks = len(before) - len(before.rstrip())
    return before[max(0, len(before) - max(blanks, round((1 + MOST) ** share) - 1)) :]


def _excerpt(before: str, value: str, kind: SpanKind, person: str) -> Passage:
    ref, end = "excerpt#1", len(before) + len(value)
    span = SensitiveSpan(ref, len(before), end, kind, Owner.SUBJECT, "excerpt", 1.0)
    return Passage(ref, Secret(before + value), (span,), person)
