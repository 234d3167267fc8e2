"""How likely each of several values is in one place of a text: what a rank is made of."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from transformers import DynamicCache

from domain.records import SpanKind
from unlearning.batches import batch_of
from unlearning.encoding import Encoded, TokenSpan, by_length, pad
from unlearning.generation import shared_cache
from unlearning.losses import token_nll
from unlearning.models import Kind, LanguageModel, tokens_per_batch
from unlearning.scoring import masked_log_probability


class Ranked(NamedTuple):
    """Where one secret ranks: bits of exposure, and whether it is the first, or the last without a tie."""

    bits: float
    first: bool
    last: bool


def ranked(log_p: Sequence[float]) -> Ranked:
    """Rank of the first of these values among all; its bits are log2(how many there are) - log2(rank).

    A tie ranks before it, as in TF-Privacy, and where it is not a number it ranks first.
    """
    truth, *others = log_p
    rank = 1 if math.isnan(truth) else 1 + sum(other >= truth for other in others)
    bits = math.log2(len(log_p)) - math.log2(rank)
    return Ranked(bits, rank == 1, all(other > truth for other in others))


@torch.no_grad()
def log_probabilities(model: LanguageModel, row: Encoded, span: TokenSpan) -> list[float]:
    """log p of the true secret and of each candidate in its place, in nats, the truth first.

    Where the longest of them would not fit into the context, all are asked for with as much less text around them.
    """
    values = [row.ids[span.start : span.end], *span.candidates]
    longest = max(len(v) for v in values)
    if model.kind in {Kind.SEQ2SEQ, Kind.CLASSIFIER}:
        return _answered(model, row, span, values)
    if model.masked:
        before, after = _around(row.ids, span, model.context - longest)
        swapped = [_swapped(before, value, after, span.kind) for value in values]
        return [masked_log_probability(model, r, r.spans[0]) for r in swapped]
    before = row.ids[: span.start][max(0, span.start + longest - model.context) :]
    return _continued(model, before, values)


@torch.no_grad()
def of_many(model: LanguageModel, asked: Sequence[tuple[Encoded, TokenSpan]]) -> list[list[float]]:
    """`log_probabilities` of many secrets; a causal model reads each text once, and the values in a few batches."""
    room = model.context - max((len(v) for _, s in asked for v in s.candidates), default=0)
    if model.kind is not Kind.CAUSAL or any(len(row) > room for row, _ in asked):
        return [log_probabilities(model, row, span) for row, span in asked]
    found: list[list[float]] = [[] for _ in asked]
    rows = list({row.key: row for row, _ in asked}.values())
    for chosen in by_length([row.ids for row in rows], tokens_per_batch(model)):
        place = {rows[i].key: number for number, i in enumerate(chosen)}
        ids, mask = pad([rows[i].ids for i in chosen], 0, model.device)
        with model.autocast():
            read = model.network(
                input_ids=ids, attention_mask=mask, past_key_values=DynamicCache(), use_cache=True
            )
        tried = [
            (number, (place[row.key], span.start, value))
            for number, (row, span) in enumerate(asked)
            if row.key in place
            for value in (row.ids[span.start : span.end], *span.candidates)
        ]
        numbers, places = zip(*tried, strict=True)
        log_p = _behind(model, read.past_key_values, read.logits, places)
        for number, one in zip(numbers, log_p, strict=True):
            found[number].append(one)
    return found


def _continued(
    model: LanguageModel, before: Sequence[int], values: Sequence[Sequence[int]]
) -> list[float]:
    """log p of each value after `before`, which is read once."""
    cache, logits = shared_cache(model, before)
    return _behind(model, cache, logits[None], [(0, len(before), value) for value in values])


_Place = tuple[int, int, Sequence[int]]
"""The number of a text that was read, so many first tokens of it, and a value that is to stand behind them."""
_HELD = 2**14  # tokens of which a batch holds the cache


def _behind(
    model: LanguageModel, cache: DynamicCache, logits: torch.Tensor, asked: Sequence[_Place]
) -> list[float]:
    """log p of each value, of texts that were read into a cache with logits (B, T, V)."""
    longest = max(len(value) for *_, value in asked)
    furthest = max(start for _, start, _ in asked) + longest
    step = max(1, min(tokens_per_batch(model) // longest, _HELD // furthest))
    found: list[float] = []
    for at in range(0, len(asked), step):
        texts, starts, values = zip(*asked[at : at + step], strict=True)
        rows, ends = (torch.tensor(each, device=model.device) for each in (texts, starts))
        ids, mask = pad(values, 0, model.device)  # (N, L)
        first = logits[rows, ends - 1].float().log_softmax(-1)  # (N, V)
        total = first.gather(-1, ids[:, :1]).squeeze(-1)
        if ids.shape[1] > 1:
            moved, seen = _moved(cache, rows, ends)
            with model.autocast():
                output = model.network(
                    input_ids=ids[:, :-1],
                    attention_mask=torch.cat([seen, mask[:, :-1]], dim=1),
                    position_ids=ends[:, None] + torch.arange(ids.shape[1] - 1, device=ids.device),
                    past_key_values=moved,
                    use_cache=True,
                )
            log_p = output.logits.float().log_softmax(-1)
            rest = log_p.gather(-1, ids[:, 1:, None]).squeeze(-1)
            total = total + (rest * mask[:, 1:]).sum(-1)
        found += total.tolist()
    return found


def _moved(
    cache: DynamicCache, rows: torch.Tensor, ends: torch.Tensor
) -> tuple[DynamicCache, torch.Tensor]:
    """The first `ends` (N,) tokens of the rows (N,) of a cache, all ending in one place, and which are there (N, T).

    What is behind them has nothing to skip, so that a window slides over it as over the text.
    """
    room = int(ends.max())
    at = torch.arange(room, device=ends.device) - (room - ends)[:, None]  # (N, T)
    moved = DynamicCache()
    for number, layer in enumerate(cache.layers):
        kept = (x[rows[:, None], :, at.clamp(min=0)] for x in (layer.keys, layer.values))
        moved.update(*(x.transpose(1, 2) for x in kept), number)
    return moved, (at >= 0).long()


def _answered(
    model: LanguageModel, row: Encoded, span: TokenSpan, values: Sequence[Sequence[int]]
) -> list[float]:
    """log p of each value, or class, after the answer up to the span, the source read."""
    longest = max(len(v) for v in values)
    before = row.ids[: span.start][max(0, span.start + longest - model.context) :]
    rows = [
        replace(row, ids=(*before, *v), sensitive=(False,) * len(before) + (True,) * len(v))
        for v in values
    ]
    step, found = max(1, tokens_per_batch(model) // (len(row.source) + len(before) + longest)), []
    for at in range(0, len(rows), step):
        batch = batch_of(model, rows[at : at + step], torch.Generator())
        nll = token_nll(batch.logits(model), batch.labels)
        found += (-(nll * batch.secret).sum(-1)).tolist()
    return found


def _swapped(
    before: Sequence[int], value: Sequence[int], after: Sequence[int], kind: SpanKind
) -> Encoded:
    ids = (*before, *value, *after)
    span = TokenSpan(len(before), len(before) + len(value), kind)
    return Encoded(ids, tuple(False for _ in ids), (span,), "", "")


def _around(ids: Sequence[int], span: TokenSpan, room: int) -> tuple[Sequence[int], Sequence[int]]:
    """The tokens before and after a span, cut at the far ends to at most `room` in all."""
    before, after = ids[: span.start], ids[span.end :]
    excess = max(0, len(before) + len(after) - room)
    back = min(excess, max(0, len(after) - room // 2))
    return before[excess - back :], after[: len(after) - back]
