"""Steps on the corpora: find the person, keep the spans in the vault, write the redacted copies."""

import json
import time
from collections import Counter
from dataclasses import replace

from detectors.corpus import CorpusFiles, open_corpus
from detectors.locate import search
from detectors.redact import RedactedCopy, commitment, redact, verify_redaction
from domain.errors import Code, DetectionFailed, Unavailable
from domain.lifecycle import Event
from domain.log import log
from domain.outcomes import CorpusErasure
from flows import progress
from flows.bench import Bench
from flows.copies import Copies, require_same_shape
from flows.steps import step


@step("locate", broken=DetectionFailed)
def locate_corpus(bench: Bench, name: str) -> int:
    """Search one corpus and return how many spans of the person it holds."""
    started = time.monotonic()
    entry = bench.stores.catalog.corpus(name)
    files = open_corpus(entry.path, entry.text_field)
    [located] = search(
        files.batches(),
        [bench.request.subject],
        bench.detectors,
        lambda done: progress.advance("locate", done),
    )
    bench.located[name] = located
    bench.seconds[name] = time.monotonic() - started
    log(
        "corpus_searched",
        request=bench.ref,
        corpus=name,
        documents=located.documents,
        spans=len(located.spans),
    )
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
        )
    )


def _redacted(bench: Bench, name: str, original: CorpusFiles, key: bytes) -> RedactedCopy:
    """The copy from the last one, or from the original when there is none, once its re-scan finds nothing."""
    copies, located = Copies(bench.paths.redacted(name)), bench.located[name]
    base, spans = original, located.spans
    last = copies.current()
    if last is not None:
        base = open_corpus(str(last), original.text_field)
        [found] = search(base.batches(), [bench.request.subject], bench.detectors)
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
    left = verify_redaction(out, original.text_field, bench.request.subject, bench.detectors)
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
