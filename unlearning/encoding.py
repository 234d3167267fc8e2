"""Passages as tokens: ids, which of them are sensitive, and where each span lies."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass, field, replace

import torch

from domain.errors import Code, RequestRejected
from domain.records import Owner, Passage, SensitiveSpan, SpanKind
from unlearning.models import Kind, LanguageModel


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
    """One passage, or one window of a long one: what the model reads, and what it says or would have to say.

    For causal and masked models both are `ids`. A seq2seq model reads `source` and says `ids`; a classifier reads
    `source`, and `ids` is one number, the text's class, which is what there is to know about a person's text by heart.

    `ids[0]` is the start token where the model has one. `sensitive[t]` marks tokens of the secrets this window answers
    for; `PERSON` spans are not sensitive (unless `encode` was told so): the name is the key by which one asks for the
    secret. `text` is what `source` and `ids` stand for, the answer of a seq2seq model from code point `answer` on;
    like the ids it is personal data. `names` are the names of the person in the whole passage, the longest first: what
    one would ask with.
    """

    ids: tuple[int, ...]
    sensitive: tuple[bool, ...]
    spans: tuple[TokenSpan, ...]
    person: str
    text: str
    names: tuple[str, ...] = field(default=(), repr=False)
    source: tuple[int, ...] = field(default=(), repr=False)
    answer: int = 0

    def asks(self, span: TokenSpan) -> bool:
        """Whether there is anything before the secret to ask for it with."""
        return span.start > 0 or bool(self.source)

    @property
    def key(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """What tells it from other passages: all that the model is given."""
        return self.source, self.ids

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"Encoded({len(self.ids)} tokens, {len(self.spans)} spans)"


Rivals = Callable[[SpanKind, str], Sequence[str]]
"""Other values of the same form as a secret, given its kind and its text."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_LEAD = 24  # characters before and behind a secret that are enough to tokenise a candidate as it would stand there


def readable(text: str) -> str:
    """The text with lone surrogates, which no tokenizer takes, as U+FFFD."""
    return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)


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
    piece has text before it. With `rivals`, each uncut span carries its candidates. Texts are read as `readable` has
    them. An empty text has no window. With `names`, the person's name counts as a secret too: what
    is to be forgotten is more than what can be asked for.

    For a seq2seq model what stands before the passage's answer is read by the encoder, its end where it is too long; a
    secret that stands there alone is never said, so it has no span. A classifier's windows all have the passage's
    label, which is the secret of a passage that belongs to a person.

    Raises `RequestRejected` (EXAMPLES_INVALID): a passage without a label that the classifier has.
    """
    kinds = frozenset(SpanKind) - (frozenset() if names else {SpanKind.PERSON})
    return tuple(w for passage in passages for w in _windows(model, passage, rivals, kinds))


def _windows(
    model: LanguageModel, passage: Passage, rivals: Rivals | None, kinds: Collection[SpanKind]
) -> list[Encoded]:
    text = readable(passage.text.reveal())
    known = _names(text, passage)
    if model.kind is Kind.CLASSIFIER:
        return _labelled(model, passage, text, known)
    read = text[: _answer(passage, text)] if model.kind is Kind.SEQ2SEQ else ""
    source = _source(model, read) if model.kind is Kind.SEQ2SEQ else ()
    text = text[len(read) :]
    ids, offsets = _tokens(model, [text])[0]
    spans = [
        TokenSpan(*inside, span.kind, _candidates(model, text, span, ids[slice(*inside)], rivals))
        for span in _said(passage.spans, len(read))
        if span.kind in kinds and (inside := _inside(offsets, span.start, span.end))
    ]
    head, tail = _specials(model)
    room = model.context - len(head) - len(tail)
    step = max(1, room // 2)
    whole = [piece for span in spans for piece in _pieces(span, room)]
    windows = []
    for start, end in _cuts(len(ids), room):
        answered_from = start if start == 0 else start + room - step
        mine = [s for s in whole if answered_from < s.end <= end]
        shift = len(head) - start
        cut = tuple(replace(s, start=s.start + shift, end=s.end + shift) for s in mine)
        row = (*head, *ids[start:end], *(tail if model.masked or end == len(ids) else ()))
        mask = [False] * len(row)
        for s in cut:
            mask[s.start : s.end] = [True] * (s.end - s.start)
        said = read + text[offsets[start][0] : offsets[end - 1][1]]
        windows.append(
            Encoded(row, tuple(mask), cut, passage.person, said, known, source, len(read))
        )
    return windows


def _cuts(length: int, room: int) -> Iterator[tuple[int, int]]:
    """Start and end of each window of a text of that many tokens."""
    step = max(1, room // 2)
    for start in range(0, max(1, length - room + step) if length else 0, step):
        yield start, min(length, start + room)


def _labelled(
    model: LanguageModel, passage: Passage, text: str, names: tuple[str, ...]
) -> list[Encoded]:
    """The windows of a text that a classifier reads, each with the text's class."""
    label = passage.label
    if label is None or not 0 <= label < model.choices:
        raise RequestRejected(
            Code.EXAMPLES_INVALID,
            place=f"{passage.ref or 'a text'}, label",
            remedy=f"a classifier needs the number of its class, 0 to {model.choices - 1}.",
        )
    ids, offsets = _tokens(model, [text])[0]
    head, tail = _specials(model)
    mine = bool(passage.person)
    others = tuple((other,) for other in range(model.choices) if other != label)
    spans = (TokenSpan(0, 1, SpanKind.OTHER, others),) if mine else ()
    return [
        Encoded(
            (label,),
            (mine,),
            spans,
            passage.person,
            text[offsets[start][0] : offsets[end - 1][1]],
            names,
            (*head, *ids[start:end], *tail),
        )
        for start, end in _cuts(len(ids), model.context - len(head) - len(tail))
    ]


def _answer(passage: Passage, text: str) -> int:
    """Where the answer of a seq2seq model begins."""
    if passage.answer is not None:
        return passage.answer
    secrets = [span.start for span in passage.spans if span.kind is not SpanKind.PERSON]
    return min(secrets, default=max(0, text.find(" ", len(text) // 2)))


def _source(model: LanguageModel, text: str) -> tuple[int, ...]:
    """What the encoder of a seq2seq model reads: the end of the text, and the end token."""
    ids = _tokens(model, [text])[0][0]
    return (*ids[max(0, len(ids) + 1 - model.context) :], model.tokenizer.eos_token_id)


def _said(spans: Iterable[SensitiveSpan], start: int) -> list[SensitiveSpan]:
    """The spans, or parts of them, that stand in the text from `start` on, and where they stand in it."""
    return [
        replace(span, start=max(0, span.start - start), end=span.end - start)
        for span in sorted(spans)
        if span.end > start
    ]


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
        _tokens(model, [f"{lead}{v}{text[span.end : span.end + _LEAD]}" for v in values]),
        strict=True,
    ):
        inside = _inside(offsets, len(lead), len(lead) + len(own))
        found.append(tuple(ids[slice(*inside)]) if inside else ())
    if found[0] != tuple(truth):
        return ()
    return tuple(f for f in dict.fromkeys(found[1:]) if f and f != found[0])


def _specials(model: LanguageModel) -> tuple[list[int], list[int]]:
    """The tokens put before and after a text.

    A start token for causal models, [CLS] and [SEP] for masked ones and for classifiers that have them, the decoder's
    start and the end token for seq2seq models.
    """
    tokenizer = model.tokenizer
    if model.kind is Kind.SEQ2SEQ:
        return [token for token in [model.starts] if token is not None], [tokenizer.eos_token_id]
    framed = (tokenizer.cls_token_id, tokenizer.sep_token_id)
    if model.masked or (model.kind is Kind.CLASSIFIER and None not in framed):
        return [framed[0]], [framed[1]]
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
