"""What searches found so far, in the vault under each request's key: a search that was killed goes on where it stopped,
and one that ended is not made again where nothing has changed.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from detectors.basis import bases
from detectors.memory import Memory
from detectors.protocol import Detector, Learner
from flows.bench import Stores
from flows.database import transaction
from flows.intake import Request

SECONDS = 10.0  # of work that a search may lose when it is killed
# of the time that may go into keeping: the memories of many people take long to write
SHARE = 0.05


@dataclass(repr=False)
class Memories:
    """The memories of one corpus, one for each request, kept now and then while a search fills them.

    What reviewers were answered is kept beside them, where it is about one request only.
    """

    stores: Stores
    corpus: str
    of: Mapping[str, Memory]  # by reference
    learners: Mapping[str, Learner] = field(default_factory=dict)
    _due: float = field(default_factory=lambda: time.monotonic() + SECONDS, init=False)

    def keep_when_due(self) -> None:
        """Keep what is new, if that is long enough ago."""
        if time.monotonic() >= self._due:
            self.keep()

    def keep(self) -> None:
        """Write what is new into the vault, all of it or nothing."""
        started, vault = time.monotonic(), self.stores.vault
        changed = {
            ref: memory for ref, memory in self.of.items() if memory.changed and vault.holds(ref)
        }
        with transaction(self.stores.engine) as connection:
            for ref, memory in changed.items():
                vault.put(ref, kind(self.corpus), memory.dump(), connection)
            for ref in self.of:
                for name, learner in self.learners.items():
                    if vault.holds(ref):
                        vault.put(ref, _answers(name), learner.answers(), connection)
        for memory in changed.values():
            memory.changed = False
        ended = time.monotonic()
        self._due = ended + max(SECONDS, (ended - started) / SHARE)


def kind(corpus: str) -> str:
    """What the vault calls the memory of one corpus."""
    return f"search/{corpus}"


def _answers(learner: str) -> str:
    return f"answers/{learner}"


@contextmanager
def recalled(
    stores: Stores, requests: Sequence[Request], detectors: Mapping[str, Detector], corpus: str
) -> Iterator[Memories]:
    """The memories of a corpus, kept at the end whatever ends it."""
    memories = remembered(stores, requests, detectors, corpus)
    kept = Memories(stores, corpus, memories, _learners(detectors) if len(requests) == 1 else {})
    for name, learner in kept.learners.items():
        learned = stores.vault.get(requests[0].subject.request_ref, _answers(name))
        if learned is not None:
            learner.resume(learned)
    try:
        yield kept
    finally:
        kept.keep()


def remembered(
    stores: Stores, requests: Sequence[Request], detectors: Mapping[str, Detector], corpus: str
) -> dict[str, Memory]:
    """The memories of a corpus as the vault has them, by reference.

    One that was made with other identifiers, detectors or libraries is empty.
    """
    subjects = [request.subject for request in requests]
    made_from = bases(detectors, subjects, stores.catalog.corpus(corpus).text_field)
    return {
        subject.request_ref: Memory.load(stores.vault.get(subject.request_ref, kind(corpus)), basis)
        for subject, basis in zip(subjects, made_from, strict=True)
    }


def forget(stores: Stores, request: Request, detectors: Mapping[str, Detector]) -> None:
    """Let go of all memories of a request that nobody will search for again, and of what reviewers were answered."""
    kinds = [*map(kind, request.corpora), *map(_answers, _learners(detectors))]
    for each in kinds:
        stores.vault.remove(request.subject.request_ref, each)


def _learners(detectors: Mapping[str, Detector]) -> dict[str, Learner]:
    return {name: d for name, d in detectors.items() if isinstance(d, Learner)}
