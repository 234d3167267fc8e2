"""Online selection: what a model that never read a text finds unlikely in it, only its author could know.

After SeUL (Wang et al., arXiv 2402.05813), whose formula is not public: a token is sensitive when its probability is
below the mean of its text. Reconstruction and choice of the model are ours. A model that knows the text by heart finds
nothing unlikely in it, so the one that is asked must not: an early checkpoint, a smaller sibling, one of shards without
the person. Beside it, the model that does know the text says what was learnt: the gap between the two counts.
"""

import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from detectors.annotation import Part
from detectors.attribution import attribute
from detectors.candidates import kind
from detectors.likelihood import CausalModel, NoModelError, Piece
from detectors.protocol import Case
from detectors.reviewing import pieces_outside
from detectors.shapes import SURE
from domain.errors import Code, DetectionFailed
from domain.records import Document, Owner, SensitiveSpan, Subject

_WORD = re.compile(r"\w(?:[\w.@+'/\u2019-]{0,62}\w)?")
"""A word or a number with its separators; part of it is worth as much as all of it."""
_SHORT = 2  # letters of a word that tells nothing
_EVEN = 0.5
"""Where all is known by heart, half of it lies below the mean and is likely all the same: that is not marked."""
_BETWEEN = frozenset({" ", "\u00a0"})  # what may stand between two words of one part


@dataclass(frozen=True)
class Online:
    """Marks what a model finds unlikely in the documents that name the person.

    It only adds to what the other detectors found, and what it adds is unsure: its owner is decided by the cues of the
    text where they are clear, by the annotator where there is one, and else by a person.

    Args:
        reference: folder of a causal model that was not trained on the texts.
        memorising: folder of one that was; with it the gap between the two counts. Empty for none.

    """

    reference: str
    memorising: str = ""
    _reader: list[CausalModel] = field(default_factory=list, init=False, repr=False, compare=False)

    name = "online"

    def __post_init__(self) -> None:
        if not self.reference:
            raise ValueError("a model that was not trained on the texts has to be named")
        folders = [folder for folder in (self.reference, self.memorising) if folder]
        self._reader.extend(map(CausalModel, folders))

    def find(self, document: Document, subject: Subject) -> list[SensitiveSpan]:
        """What is unlikely in one document of which nothing is known yet. Raises as `review`."""
        return self.review([Case(document, subject, ())])[0]

    def review(self, cases: Sequence[Case]) -> list[list[SensitiveSpan]]:
        """What is unlikely in each of these documents and nobody found, disjoint and sorted.

        Raises `DetectionFailed`: a model cannot be read, or its numbers are not finite.
        """
        found = self.select([case.document.text.reveal() for case in cases])
        return [self._added(case, parts) for case, parts in zip(cases, found, strict=True)]

    def select(self, texts: Sequence[str]) -> list[list[tuple[Part, float]]]:
        """The unlikely parts of each text, whole words, with their mean probability under the reference.

        Raises as `review`.
        """
        try:
            asked, *known = [reader(texts) for reader in self._reader]
        except NoModelError as error:
            raise _broken(str(error)) from None
        by_heart = known[0] if known else [[] for _ in texts]
        return [
            _parts(text, unlikely(pieces, learnt))
            for text, pieces, learnt in zip(texts, asked, by_heart, strict=True)
        ]

    def check(self) -> None:
        """Load what it asks. Raises `DetectionFailed`."""
        try:
            for reader in self._reader:
                reader.load()
        except NoModelError as error:
            raise _broken(str(error)) from None

    def _added(self, case: Case, parts: Sequence[tuple[Part, float]]) -> list[SensitiveSpan]:
        """The parts outside of what is known, each with its owner."""
        text, ref = case.document.text.reveal(), case.document.ref
        new = [
            SensitiveSpan(
                ref, *piece, kind(text[slice(*piece)]), Owner.UNCERTAIN, self.name, SURE * (1 - p)
            )
            for part, p in parts
            for piece in pieces_outside(text, part, case.found)
        ]
        own = [span for span in case.found if span.owner is Owner.SUBJECT]
        others = [span for span in case.found if span.owner is not Owner.SUBJECT]
        settled = attribute(case.document, own, [*others, *new]) if new else []
        return [span for span in settled if span.detector == self.name]


def unlikely(pieces: Sequence[Piece], by_heart: Sequence[Piece] = ()) -> list[Piece]:
    """The pieces whose probability is below the mean of their text, and that are not likelier than not.

    With what the memorising model says, it is the probability less that model's for the same characters: a piece that
    neither knows was not learnt, and is passed over.
    """
    ahead = _gained(pieces, by_heart) if by_heart else [0.0] * len(pieces)
    scores = [piece.probability - more for piece, more in zip(pieces, ahead, strict=True)]
    mean = math.fsum(scores) / max(1, len(scores))
    return [
        piece
        for piece, score in zip(pieces, scores, strict=True)
        if score < mean and piece.probability < _EVEN
    ]


def _gained(pieces: Sequence[Piece], by_heart: Sequence[Piece]) -> list[float]:
    """The memorising model's probability for the characters of each piece; it may cut the text in other places, and
    then each of its pieces' nats are spread evenly over their characters.
    """
    nats: dict[int, float] = {}
    for start, end, probability in by_heart:
        for at in range(start, end):
            nats[at] = -math.log(max(probability, 1e-30)) / (end - start)
    return [
        math.exp(-math.fsum(nats.get(at, 0.0) for at in range(piece.start, piece.end)))
        for piece in pieces
    ]


def _parts(text: str, chosen: Sequence[Piece]) -> list[tuple[Part, float]]:
    """The whole words in which the chosen pieces lie, those side by side as one part."""
    starts, ends = [piece.start for piece in chosen], [piece.end for piece in chosen]
    parts: list[tuple[Part, list[float]]] = []
    for word in _WORD.finditer(text):
        inside = slice(bisect_right(ends, word.start()), bisect_left(starts, word.end()))
        marked = [piece.probability for piece in chosen[inside]]
        if not marked or (len(word[0]) <= _SHORT and word[0].isalpha()):
            continue
        (start, end), before = parts[-1] if parts else ((0, 0), [])
        if before and text[end : word.start()] in _BETWEEN:
            parts[-1] = ((start, word.end()), before + marked)
        else:
            parts.append((word.span(), marked))
    return [(part, math.fsum(marked) / len(marked)) for part, marked in parts]


def _broken(remedy: str) -> DetectionFailed:
    return DetectionFailed(Code.DETECTOR_BROKE, place="detector online", remedy=remedy)
