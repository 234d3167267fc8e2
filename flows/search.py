"""Steps on the corpora: find the person, keep the spans in the vault, write the redacted copies.

A batch searches each corpus once for all its requests (`search_together`). What it finds rests in the vault, where the
run of each request finds it again by the digests of what was read (`memories`): nothing else passes between the two.
"""

import json
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from detectors.corpus import CorpusFiles, open_corpus
from detectors.locate import Located, search
from detectors.protocol import Detector
from detectors.recall import Texts, measure
from detectors.redact import RedactedCopy, commitment, redact, verify_redaction
from domain.errors import Code, DetectionFailed, ErasureError, Unavailable
from domain.lifecycle import Event
from domain.log import log
from domain.outcomes import CorpusErasure
from flows import progress
from flows.bench import Bench, Stores, open_stores, seed_of
from flows.copies import Copies, require_same_shape
from flows.intake import Request, load_request
from flows.memories import recalled
from flows.steps import step
from flows.workers import hired


@step("search_together", broken=DetectionFailed)
def search_together(refs: list[str]) -> None:
    """Search every corpus once for all of these requests; the run of each then looks again at what has changed only.

    What fails here stops nobody: the run of each request meets it by itself, and says so in the ledger.
    """
    from flows import build

    with open_stores("batch") as stores:
        requests = [request for ref in refs for request in _loaded(stores, ref)]
        detectors = build.detectors(stores.policy)
        for name in sorted({corpus for request in requests for corpus in request.corpora}):
            _search_for_all(stores, [r for r in requests if name in r.corpora], detectors, name)


def _loaded(stores: Stores, ref: str) -> list[Request]:
    """The request, or none that can be read."""
    try:
        return [load_request(ref, stores.vault)]
    except ErasureError as error:
        log("left_out", request=ref, code=error.code.value)
        return []


def _search_for_all(
    stores: Stores, requests: list[Request], detectors: Mapping[str, Detector], name: str
) -> None:
    """Search one corpus for them; who cannot be searched for is left out, and the others' search goes on."""
    while requests:
        try:
            search_corpus(stores, requests, detectors, name)
        except ErasureError as error:
            log("left_out", request=error.request_ref, corpus=name, code=error.code.value)
            others = [r for r in requests if r.subject.request_ref != error.request_ref]
            requests = others if len(others) < len(requests) else []  # else it is nobody's own
        else:
            return


def search_corpus(
    stores: Stores,
    requests: Sequence[Request],
    detectors: Mapping[str, Detector],
    name: str,
    texts: Texts | None = None,
) -> list[Located]:
    """Search one corpus for these requests, all together, on from what the vault holds of earlier searches; `texts`
    draws from what goes by.
    """
    entry = stores.catalog.corpus(name)
    files = open_corpus(entry.path, entry.text_field)
    with (
        recalled(stores, requests, detectors, name) as memories,
        hired(stores, requests, detectors, files, name) as batches,
    ):

        def advance(done: int) -> None:
            progress.advance("locate", done)
            memories.keep_when_due()

        subjects = [request.subject for request in requests]
        watched = batches if texts is None else texts.watched(batches)
        found = search(watched, subjects, detectors, advance, list(memories.of.values()))
    log("corpus_searched", corpus=name, documents=found[0].documents, count=len(requests))
    return found


@step("locate", broken=DetectionFailed)
def locate_corpus(bench: Bench, name: str) -> int:
    """Search one corpus, measure how much such a search finds, and return how many spans of the person it holds."""
    started, planted = time.monotonic(), bench.policy.recall.planted
    texts = Texts(random.Random(seed_of(bench.policy.sha256(), bench.ref, name)))
    watched = texts if planted else None
    [located] = search_corpus(bench.stores, [bench.request], bench.detectors, name, watched)
    bench.located[name] = located
    mine = {passage.ref for passage in located.passages}
    bench.recall[name] = measure(
        bench.request.subject, bench.detectors, texts.drawn(mine), planted, texts.order
    )
    bench.seconds[name] = time.monotonic() - started
    log("corpus_located", request=bench.ref, corpus=name, spans=len(located.spans))
    return len(located.spans)


@step("keep_spans", broken=Unavailable)
def keep_spans(bench: Bench) -> str:
    """Store the spans encrypted and return the commitment to them, texts included."""
    rows = [
        [name, s.document, s.start, s.end, s.kind.value, s.detector, s.confidence]
        for name, located in sorted(bench.located.items())
        for s in sorted(located.spans)
    ]
    bench.stores.vault.put(bench.ref, "spans", json.dumps(rows).encode())
    bench.stores.ledger.append(
        bench.ref,
        Event.LOCATED,
        {
            "spans": bench.spans,
            "documents": sum(located.documents for located in bench.located.values()),
            "candidates": sum(located.candidates for located in bench.located.values()),
            "uncertain": sum(located.uncertain for located in bench.located.values()),
        },
    )
    return spans_commitment(bench)


def spans_commitment(bench: Bench) -> str:
    """HMAC over place, kind and text of every span, in order; empty when there is none."""
    parts = [
        json.dumps([name, s.document, s.start, s.end, s.kind.value, text[s.start : s.end]]).encode()
        for name, located in sorted(bench.located.items())
        for passage in sorted(located.passages, key=lambda p: p.ref)
        for text in [passage.text.reveal()]
        for s in passage.spans
    ]
    return bench.stores.vault.request_hmac(bench.ref, "spans", *parts) if parts else ""


@step("redact", broken=Unavailable)
def redact_corpus(bench: Bench, name: str) -> None:
    """Write the copy without the person, search it again, and record what was done. The original is only read.

    A corpus that does not mention the person gets no copy: it is what it was.
    """
    started, located = time.monotonic(), bench.located[name]
    entry = bench.stores.catalog.corpus(name)
    original = open_corpus(entry.path, entry.text_field)
    key = bench.stores.vault.derived_key(bench.ref, "corpus")
    copy = RedactedCopy((), "", commitment(original, key), 0)
    if located.spans:
        copy = replace(_redacted(bench, name, original, key), before_hmac=copy.before_hmac)
    bench.corpora.append(
        CorpusErasure(
            name,
            located.documents,
            located.candidates,
            len(located.spans),
            located.uncertain,
            dict(sorted(Counter(s.kind.value for s in located.spans).items())),
            copy.after_sha256,
            copy.before_hmac,
            copy.files,
            bench.seconds[name] + time.monotonic() - started,
            bench.recall.get(name),
        )
    )


def _redacted(bench: Bench, name: str, original: CorpusFiles, key: bytes) -> RedactedCopy:
    """The copy from the last one, or from the original when there is none, once its re-scan finds nothing."""
    copies, located = Copies(bench.paths.redacted(name)), bench.located[name]
    base, spans = original, located.spans
    last = copies.current()
    if last is not None:
        base = open_corpus(str(last), original.text_field)
        with hired(bench.stores, [bench.request], bench.detectors, base) as batches:
            [found] = search(batches, [bench.request.subject], bench.detectors)
        shapes = [
            (documents, {files.name(file) for file in files.files})
            for documents, files in (
                (located.documents, original),
                (found.documents, base),
            )
        ]
        require_same_shape(name, *shapes)
        spans = found.spans
    out = copies.free(bench.ref)
    copy = redact(base, spans, out, bench.policy.redaction.mark, key)
    subject, written = bench.request.subject, open_corpus(str(out), original.text_field)
    with hired(bench.stores, [bench.request], bench.detectors, written) as batches:
        left = verify_redaction(out, written.text_field, subject, bench.detectors, batches)
    if left:
        raise DetectionFailed(
            Code.REDACTION_INCOMPLETE,
            request_ref=bench.ref,
            place=f"the redacted copy of {name}",
            remedy=f"the search still finds {left} spans in it; report this as a defect.",
        )
    copies.switch(out)
    return copy


@step("record_corpora", broken=Unavailable)
def record_corpora(bench: Bench) -> None:
    """Write to the ledger that the corpora are erased."""
    bench.stores.ledger.append(
        bench.ref,
        Event.CORPUS_ERASED,
        {corpus.name: corpus.after_sha256 for corpus in bench.corpora},
    )
