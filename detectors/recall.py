"""How much the search finds of a person like this one: made-up people are planted, searched for, and counted.

They have the form of the subject's identifiers (`lookalikes`), written as people write them (`written`), in texts of
the corpus (`planting`), and go through the detectors that look at the corpus; all of it in memory. Reviewers are left
out: they only add, so that what is found without them is a lower bound, and a language model would be asked hundreds
of questions about nobody. A datum counts as found when all its letters and digits lie in spans that are surely the
person's. Every text is drawn independently of the others, given the made-up people, so that the count is binomial.
"""

import random
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from detectors.corpus import Batch
from detectors.locate import in_batches, search
from detectors.lookalikes import lookalike
from detectors.looking import index_of
from detectors.planting import Planted, plant
from detectors.protocol import Detector, Reviewer
from domain.intervals import rate
from domain.outcomes import Recall
from domain.records import SensitiveSpan, Subject

_PEOPLE = 8  # made-up people at most: each costs an index
_EACH = 20  # data for which another one is made up
_BATCHES, _OF_EACH = 64, 64  # of the corpus from which texts are taken, and so many texts of each
_LONGEST = 10_000  # characters of a text that are kept


@dataclass(repr=False)
class Texts:
    """Texts of a corpus, drawn while it goes by; personal data, held in memory only.

    Args:
        order: what the draws come from.

    """

    order: random.Random
    _kept: list[list[tuple[str, str]]] = field(default_factory=list, init=False)
    _passed: int = field(default=0, init=False)

    def watched(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The same batches; of some of them, each as likely, a few texts are kept with their references."""
        for batch in batches:
            yield batch
            self._passed += 1
            full = len(self._kept) == _BATCHES
            place = self.order.randrange(self._passed) if full else len(self._kept)
            if place < _BATCHES:
                self._kept[place : place + 1] = [self._some(batch)]

    def _some(self, batch: Batch) -> list[tuple[str, str]]:
        """Pieces of texts of the first slice, which is parsed once more; the others are left alone."""
        first = next(batch.slices(), None)
        if first is None:
            return []
        places = self.order.sample(range(len(first.texts)), min(_OF_EACH, len(first.texts)))
        found = []
        for place in places:
            text = first.texts[place]
            start = self.order.randrange(max(1, len(text) - _LONGEST))
            if piece := text[start : start + _LONGEST].strip():
                found.append((first.document(place).ref, piece))
        return found

    def drawn(self, without: Collection[str]) -> list[str]:
        """What was kept, but for the documents `without`."""
        return [text for several in self._kept for ref, text in several if ref not in without]


def measure(
    subject: Subject,
    detectors: Mapping[str, Detector],
    texts: Sequence[str],
    count: int,
    order: random.Random,
) -> Recall | None:
    """Plant `count` data of made-up people like the subject and search for these people.

    None where nothing can be measured: nothing is to be planted, there is no text, or an identifier has neither a Latin
    letter nor a digit that could be exchanged. Raises as `search`.
    """
    several = min(_PEOPLE, 1 + count // _EACH)
    drawn = [lookalike(subject, f"{subject.request_ref}.{n}", order) for n in range(several)]
    people = [person for person in drawn if person is not None]
    if not count or not texts or not people:
        return None
    regions = index_of(detectors.values(), subject.request_ref).regions
    planted = plant(people, texts, count, regions, order)
    alike = {n: d for n, d in detectors.items() if not isinstance(d, Reviewer)}
    found = search(in_batches(p.document for p in planted), people, alike)
    spans = [{p.ref: p.spans for p in located.passages} for located in found]
    hits, trials = Counter[str](), Counter[str]()
    for one in planted:
        trials[one.kind] += 1
        hits[one.kind] += _covered(one, spans[one.person].get(one.document.ref, ()))
    by_kind = {kind: rate(hits[kind], trials[kind]) for kind in sorted(trials)}
    return Recall(rate(hits.total(), trials.total()), by_kind)


def _covered(planted: Planted, spans: Sequence[SensitiveSpan]) -> bool:
    """Whether every letter and digit of the datum lies in one of the spans."""
    text = planted.document.text.reveal()
    return all(
        any(span.start <= at < span.end for span in spans)
        for at in range(planted.start, planted.end)
        if text[at].isalnum()
    )
