"""Passages as tokens: ids, which of them are sensitive, and where each span lies."""

import re
from collections.abc import Callable, Collection, Iterable, Sequence, Sized
from dataclasses import dataclass, field, replace

import torch

from domain.records import Owner, Passage, SensitiveSpan, SpanKind
from unlearning.models import LanguageModel


@dataclass(frozen=True, slots=True)
class TokenSpan:
    """Tokens `start:end` of one encoded passage, covering one secret.

    `candidates` are other values of the same form as tokens that could stand in its place; an exposure test ranks the
    truth among them.
    """

    start: int
    end: int
    kind: SpanKind
    candidates: tuple[tuple[int, ...], ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Encoded:
    """One passage, or one window of a long one, as the model reads it.

    `ids[0]` is the start token where the model has one. `sensitive[t]` marks tokens of the secrets this window answers
    for; `PERSON` spans are not sensitive (unless `encode` was told so): the name is the key by which one asks for the
    secret. `text` is what the
    tokens stand for; like the ids it is personal data. `names` are the names of the person in the whole passage, the
    longest first: what one would ask with.
    """

    ids: tuple[int, ...]
    sensitive: tuple[bool, ...]
    spans: tuple[TokenSpan, ...]
    person: str
    text: str
    names: tuple[str, ...] = field(default=(), repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"Encoded({len(self.ids)} tokens, {len(self.spans)} spans)"


Rivals = Callable[[SpanKind, str], Sequence[str]]
"""Other values of the same form as a secret, given its kind and its text."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_LEAD = 24  # characters of text before a secret that are enough to tokenise a candidate as it would stand there


def encode(
    model: LanguageModel,
    passages: Iterable[Passage],
    rivals: Rivals | None = None,
    *,
    names: bool = False,
) -> tuple[Encoded, ...]:
    """Tokenise passages; texts longer than the context are cut into windows that overlap by half.

    Every sensitive token is answered for by exactly one window, the one that gives it most text to the left. A secret
    longer than a quarter of the context is cut into pieces where it does not end in the first window, so that each
    piece has text before it. With `rivals`, each uncut span carries its candidates. Lone surrogates, which no tokenizer
    takes, are read as U+FFFD. An empty text has no window. With `names`, the person's name counts as a secret too: what
    is to be forgotten is more than what can be asked for.
    """
    kinds = frozenset(SpanKind) - (frozenset() if names else {SpanKind.PERSON})
    return tuple(w for passage in passages for w in _windows(model, passage, rivals, kinds))


def _windows(
    model: LanguageModel, passage: Passage, rivals: Rivals | None, kinds: Collection[SpanKind]
) -> list[Encoded]:
    text = _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", passage.text.reveal())
    ids, offsets = _tokens(model, [text])[0]
    spans = [
        TokenSpan(*inside, span.kind, _candidates(model, text, span, ids[slice(*inside)], rivals))
        for span in sorted(passage.spans)
        if span.kind in kinds and (inside := _inside(offsets, span.start, span.end))
    ]
    head, tail = _specials(model)
    room = model.context - len(head) - len(tail)
    step = max(1, room // 2)
    whole = [piece for span in spans for piece in _pieces(span, room)]
    windows = []
    for start in range(0, max(1, len(ids) - room + step) if ids else 0, step):
        end = min(len(ids), start + room)
        answered_from = start if start == 0 else start + room - step
        mine = [s for s in whole if answered_from < s.end <= end]
        shift = len(head) - start
        cut = tuple(replace(s, start=s.start + shift, end=s.end + shift) for s in mine)
        mask = [False] * (len(head) + end - start + len(tail))
        for s in cut:
            mask[s.start : s.end] = [True] * (s.end - s.start)
        row = (*head, *ids[start:end], *tail)
        said = text[offsets[start][0] : offsets[end - 1][1]]
        windows.append(Encoded(row, tuple(mask), cut, passage.person, said, _names(text, passage)))
    return windows


def _names(text: str, passage: Passage) -> tuple[str, ...]:
    """The names in a passage that are not known to be somebody else's, the longest first."""
    found = {
        " ".join(text[s.start : s.end].split())
        for s in passage.spans
        if s.kind is SpanKind.PERSON and s.owner is not Owner.OTHER
    }
    return tuple(sorted(found - {""}, key=lambda name: (-len(name), name)))


def _pieces(span: TokenSpan, room: int) -> list[TokenSpan]:
    """The span itself, or pieces so short that the window in which one ends also holds text before it."""
    most = max(1, room // 4)
    if span.end <= room or span.end - span.start <= most:
        return [span]
    return [
        TokenSpan(start, min(start + most, span.end), span.kind)
        for start in range(span.start, span.end, most)
    ]


def _tokens(
    model: LanguageModel, texts: Sequence[str]
) -> list[tuple[list[int], list[tuple[int, int]]]]:
    """Ids and character offsets of each text, without special tokens."""
    batch = model.tokenizer(
        list(texts), add_special_tokens=False, return_offsets_mapping=True, verbose=False
    )
    return list(zip(batch["input_ids"], batch["offset_mapping"], strict=True))


def _inside(offsets: Sequence[tuple[int, int]], start: int, end: int) -> tuple[int, int] | None:
    """First and one past the last token that share characters with `start:end`."""
    touched = [t for t, (a, b) in enumerate(offsets) if a < end and b > start and b > a]
    return (touched[0], touched[-1] + 1) if touched else None


def _candidates(
    model: LanguageModel,
    text: str,
    span: SensitiveSpan,
    truth: Sequence[int],
    rivals: Rivals | None,
) -> tuple[tuple[int, ...], ...]:
    """The rivals of one secret as tokens in its place; empty when the tokens depend on text further away."""
    if rivals is None:
        return ()
    value = text[span.start : span.end]
    lead = text[max(0, span.start - _LEAD) : span.start]
    values = [value, *rivals(span.kind, value)]
    found = []
    for own, (ids, offsets) in zip(
        values,
        _tokens(model, [f"{lead}{v}{text[span.end : span.end + 1]}" for v in values]),
        strict=True,
    ):
        inside = _inside(offsets, len(lead), len(lead) + len(own))
        found.append(tuple(ids[slice(*inside)]) if inside else ())
    if found[0] != tuple(truth):
        return ()
    return tuple(f for f in dict.fromkeys(found[1:]) if f and f != found[0])


def _specials(model: LanguageModel) -> tuple[list[int], list[int]]:
    """The tokens put before and after a text: a start token for causal models, [CLS] and [SEP] for masked ones."""
    tokenizer = model.tokenizer
    if model.masked:
        return [tokenizer.cls_token_id], [tokenizer.sep_token_id]
    start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    return ([] if start is None else [start]), []


def pad(
    rows: Sequence[Sequence[int]], fill: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Right-pad rows of ids. Returns ids (batch, longest) and attention mask (batch, longest), both int64."""
    longest = max(len(row) for row in rows)
    ids = torch.full((len(rows), longest), fill, dtype=torch.long)
    mask = torch.zeros((len(rows), longest), dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row, dtype=torch.long)
        mask[i, : len(row)] = 1
    return ids.to(device), mask.to(device)


def sensitive_mask(batch: Sequence[Encoded], device: torch.device) -> torch.Tensor:
    """(batch, longest) bool: True on sensitive tokens, False on the rest and on padding."""
    return pad([[int(flag) for flag in row.sensitive] for row in batch], 0, device)[0].bool()


def by_length(rows: Sequence[Sized], budget: int) -> Iterable[list[int]]:
    """Indices of `rows` in batches of similar length, each of at most `budget` tokens with its padding."""
    batch: list[int] = []
    for index in sorted(range(len(rows)), key=lambda i: len(rows[i])):
        if batch and len(rows[index]) * (len(batch) + 1) > budget:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
