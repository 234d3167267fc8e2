"""How likely each of several values is in one place of a text: what a rank is made of."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from domain.records import SpanKind
from unlearning.batches import batch_of
from unlearning.encoding import Encoded, TokenSpan, pad
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
