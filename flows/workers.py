"""Worker processes for a search, as the settings have them; each opens the vault for itself."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from detectors.corpus import Batch, CorpusFiles
from detectors.hands import Hands, crew
from detectors.protocol import Detector
from detectors.shards import Equipment, Errand, forget, looked_at, made_with
from flows import build
from flows.bench import Stores, open_stores
from flows.intake import Request, load_request
from flows.memories import remembered


@contextmanager
def hired(
    stores: Stores,
    requests: Sequence[Request],
    detectors: Mapping[str, Detector],
    files: CorpusFiles,
    corpus: str = "",
) -> Iterator[Iterator[Batch]]:
    """The batches of a corpus, looked at by workers where there are some, who know what the vault remembers of the
    corpus of that name.
    """
    who = Hands(stores.settings.workers, stores.settings.scheduler)
    if who.alone:
        yield files.batches()
        return
    refs = [request.subject.request_ref for request in requests]
    made = made_with(detectors, files.text_field)
    errand = Errand(equipment, (corpus, *refs), files.text_field, made)
    with crew(who, forget) as workers:
        yield looked_at(files, errand, workers)


def equipment(corpus: str, *refs: str) -> Equipment:
    """What a worker searches with: requests and memories out of the vault, and detectors as the policy has them, all
    found by itself.
    """
    with open_stores("worker") as stores:
        requests = [load_request(ref, stores.vault) for ref in refs]
        detectors = build.detectors(stores.policy)
        known = remembered(stores, requests, detectors, corpus) if corpus else {}
        return Equipment([r.subject for r in requests], detectors, list(known.values()))
