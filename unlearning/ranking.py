"""How likely each of several values is in one place of a text: what a rank is made of."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from transformers import DynamicCache
from transformers.utils import ModelOutput

from domain.records import SpanKind
from unlearning.batches import batch_of
from unlearning.encoding import Encoded, TokenSpan, by_length, pad
from unlearning.generation import repeated, shared_cache
from unlearning.losses import token_nll
from unlearning.models import Kind, LanguageModel, tokens_per_batch
from unlearning.scoring import masked_log_probability


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
            (number, place[row.key], span.start, value)
            for number, (row, span) in enumerate(asked)
            if row.key in place
            for value in (row.ids[span.start : span.end], *span.candidates)
        ]
        longest = max(start + len(value) for _, _, start, value in tried)
        step = max(1, tokens_per_batch(model) // longest)
        for at in range(0, len(tried), step):
            numbers, texts, starts, values = zip(*tried[at : at + step], strict=True)
            where = (
                torch.tensor(texts, device=model.device),
                torch.tensor(starts, device=model.device),
            )
            for number, log_p in zip(numbers, _behind(model, read, *where, values), strict=True):
                found[number].append(log_p)
    return found


def _behind(
    model: LanguageModel,
    read: ModelOutput,
    texts: torch.Tensor,
    starts: torch.Tensor,
    values: Sequence[Sequence[int]],
) -> list[float]:
    """log p of each value after the first so many tokens, `starts` (N,), of the text of that number, `texts` (N,).

    What was read of the texts is moved to the right, so that all values begin in one place and nothing lies between.
    """
    ids, mask = pad(values, 0, model.device)  # (N, L)
    first = read.logits[texts, starts - 1].float().log_softmax(-1)  # (N, V)
    total = first.gather(-1, ids[:, :1]).squeeze(-1)
    if ids.shape[1] > 1:
        room = int(starts.max())
        at = torch.arange(room, device=ids.device) - (room - starts)[:, None]  # (N, room)
        cache = DynamicCache()
        for number, layer in enumerate(read.past_key_values.layers):
            kept = (x[texts[:, None], :, at.clamp(min=0)] for x in (layer.keys, layer.values))
            cache.update(*(x.transpose(1, 2) for x in kept), number)
        with model.autocast():
            output = model.network(
                input_ids=ids[:, :-1],
                attention_mask=torch.cat([(at >= 0).long(), mask[:, :-1]], dim=1),
                position_ids=starts[:, None] + torch.arange(ids.shape[1] - 1, device=ids.device),
                past_key_values=cache,
                use_cache=True,
            )
        rest = output.logits.float().log_softmax(-1).gather(-1, ids[:, 1:, None]).squeeze(-1)
        total = total + (rest * mask[:, 1:]).sum(-1)
    log_p: list[float] = total.tolist()
    return log_p


def _continued(
    model: LanguageModel, before: Sequence[int], values: Sequence[Sequence[int]]
) -> list[float]:
    """log p of each value after `before`, which is read once."""
    cache, logits = shared_cache(model, before)
    first = logits[-1].log_softmax(-1)  # (V,)
    step, found = max(1, tokens_per_batch(model) // max(len(v) for v in values)), []
    for at in range(0, len(values), step):
        chunk = values[at : at + step]
        ids, mask = pad(chunk, 0, model.device)  # (C, L)
        total = first[ids[:, 0]]
        if ids.shape[1] > 1:
            seen = mask.new_ones(len(chunk), len(before))
            with model.autocast():
                output = model.network(
                    input_ids=ids[:, :-1],
                    attention_mask=torch.cat([seen, mask[:, :-1]], dim=1),
                    past_key_values=repeated(cache, len(chunk), len(before)),
                    use_cache=True,
                )
            log_p = output.logits.float().log_softmax(-1)
            rest = log_p.gather(-1, ids[:, 1:, None]).squeeze(-1)
            total = total + (rest * mask[:, 1:]).sum(-1)
        found += total.tolist()
    return found


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
