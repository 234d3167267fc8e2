"""What online selection picks in the person's passages, for a method that is to forget these tokens and no others."""

from dataclasses import replace
from pathlib import Path

from detectors.annotation import Part
from detectors.candidates import kind
from detectors.locate import Located
from detectors.online import Online
from detectors.reviewing import pieces_outside
from domain.records import Owner, Passage, SensitiveSpan
from flows.bench import Bench
from unlearning.models import Kind


def selected(bench: Bench, name: str, path: Path, model_kind: Kind) -> tuple[Passage, ...]:
    """The person's passages with the parts in which this model is ahead of one that never saw them.

    Empty where no method of the policy asks for it, and where nobody can be asked: the catalog names no reference, or
    the model is not causal. Raises `DetectionFailed` as `Online.select`.
    """
    entry = bench.stores.catalog.model(name)
    wanted = any(rule.options.get("spans") == "online" for rule in bench.policy.methods.order)
    if not wanted or not entry.references or model_kind is not Kind.CAUSAL:
        return ()
    online = Online(str(entry.references[0]), str(path))
    return tuple(
        passage for corpus in entry.corpora for passage in _marked(online, bench.located[corpus])
    )


def _marked(online: Online, located: Located) -> list[Passage]:
    """The passages with the selected parts as their spans, without what is another person's."""
    others: dict[str, list[SensitiveSpan]] = {}
    for span in located.others:
        others.setdefault(span.document, []).append(span)
    passages = located.passages
    found = online.select([passage.text.reveal() for passage in passages])
    return [
        replace(
            passage,
            spans=tuple(
                _span(passage, piece, p)
                for part, p in parts
                for piece in pieces_outside(
                    passage.text.reveal(), part, others.get(passage.ref, ())
                )
            ),
        )
        for passage, parts in zip(passages, found, strict=True)
    ]


def _span(passage: Passage, part: Part, probability: float) -> SensitiveSpan:
    """One part, of the kind of what the search found there, or else of what it looks like."""
    start, end = part
    known = [s.kind for s in passage.spans if s.start < end and start < s.end]
    looks = known[0] if known else kind(passage.text.reveal()[start:end])
    return SensitiveSpan(
        passage.ref, start, end, looks, Owner.SUBJECT, Online.name, 1 - probability
    )
