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
from detectors.locate import in_batches, index_of, search
from detectors.lookalikes import lookalike
from detectors.planting import Planted, plant
from detectors.protocol import Detector, Reviewer
from domain.intervals import rate
from domain.outcomes import Recall
from domain.records import SensitiveSpan, Subject

_PEOPLE = 8  # made-up people
_BATCHES = 4  # of the corpus from which the texts are taken


@dataclass(repr=False)
class Texts:
    """Texts of a corpus, drawn while it goes by; personal data, held in memory only.

    Args:
        order: what the draws come from.

    """

    order: random.Random
    _kept: list[Batch] = field(default_factory=list, init=False)
    _passed: int = field(default=0, init=False)

    def watched(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The same batches; some of them, each as likely, are held on to."""
        for batch in batches:
            self._passed += 1
            if len(self._kept) < _BATCHES:
                self._kept.append(batch)
            elif (place := self.order.randrange(self._passed)) < _BATCHES:
                self._kept[place] = batch
            yield batch

    def drawn(self, count: int, without: Collection[str]) -> list[str]:
        """Up to `count` texts of these batches, none of the documents `without`."""
        kept: list[tuple[str, str]] = []
        passed = 0
        for batch in self._kept:
            for piece in batch.slices():
                for place, text in enumerate(piece.texts):
                    passed += 1
                    at = len(kept) if len(kept) < count else self.order.randrange(passed)
                    if at < count and text.strip():
                        kept[at : at + 1] = [(piece.document(place).ref, text)]
        return [text for ref, text in kept if ref not in without]


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
    drawn = [lookalike(subject, f"lookalike-{n}", order) for n in range(_PEOPLE)]
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
