"""Greedy continuations of every prefix of a sequence, from one pass over it, and samples from a model.

Library generation would read the prefix again for each of its lengths. Here the sequence is read once, its key-value
cache is given to all prefixes at once, and a mask hides from each what lies beyond it.
"""

from collections.abc import Sequence

import torch
from transformers import DynamicCache

from unlearning.models import LanguageModel


def shared_cache(model: LanguageModel, ids: Sequence[int]) -> tuple[DynamicCache, torch.Tensor]:
    """Read `ids` once. Returns its cache (batch 1) and the logits (T, V) in fp32."""
    row = torch.tensor([list(ids)], device=model.device)
    with model.autocast():
        output = model.network(input_ids=row, use_cache=True)
    return output.past_key_values, output.logits[0].float()


def repeated(cache: DynamicCache, copies: int, length: int) -> DynamicCache:
    """The first `length` positions of a cache of batch 1, `copies` times; the original stays as it was."""
    fresh = DynamicCache()
    for index, layer in enumerate(cache.layers):
        keys, values = layer.keys[:, :, :length], layer.values[:, :, :length]
        fresh.update(keys.expand(copies, -1, -1, -1), values.expand(copies, -1, -1, -1), index)
    return fresh


@torch.no_grad()
def continuations(
    model: LanguageModel, ids: Sequence[int], prefixes: Sequence[int]
) -> list[list[int]]:
    """For each prefix length i >= 1, the greedy tokens i..T-1; generation that ends early leaves the end token out.

    Greedy decoding from i says the true tokens up to the first that is not the model's first choice, at position j,
    and goes on as from prefix j. So only such positions are generated, in groups of similar length.
    """
    cache, logits = shared_cache(model, ids)
    wrong = (logits[:-1].argmax(-1) != torch.tensor(list(ids[1:]), device=model.device)).tolist()
    total, following = len(ids), [0] * (len(ids) + 1)
    following[total] = total
    for j in range(
        total - 1, 0, -1
    ):  # following[i]: the first position from i on that greedy decoding gets wrong
        following[j] = j if wrong[j - 1] else following[j + 1]
    needed = sorted({following[i] for i in prefixes} - {total})
    grown: dict[int, list[int]] = {total: []}
    for start in range(0, len(needed), _GROUP):
        group = needed[start : start + _GROUP]
        grown.update(zip(group, _grow(model, cache, logits, group, total), strict=True))
    end = model.tokenizer.eos_token_id
    return [_until(end, [*ids[i : following[i]], *grown[following[i]]]) for i in prefixes]


def _until(end: int, ids: list[int]) -> list[int]:
    return ids[: ids.index(end)] if end in ids else ids


_GROUP = 64
_SHRINK = (
    0.8  # the batch is cut to the rows that still grow when they are fewer than this share of it
)


def _grow(
    model: LanguageModel,
    cache: DynamicCache,
    logits: torch.Tensor,
    prefixes: Sequence[int],
    total: int,
) -> list[list[int]]:
    """Greedy tokens after each prefix, all prefixes in step; `prefixes` ascend.

    The prefixes share one cache as long as the longest of them; a mask hides from each what lies beyond it, and its own
    tokens stand at their true positions. The longest prefixes are done first and leave the batch.
    """
    longest = max(prefixes)
    starts = torch.tensor(list(prefixes), device=model.device)
    shared = repeated(cache, len(starts), longest)
    visible = (torch.arange(longest, device=model.device) < starts[:, None]).long()  # (R, longest)
    token = logits[starts - 1].argmax(-1)  # (R,)
    said = [[t] for t in token.tolist()]
    for step in range(1, total - min(prefixes)):
        growing = sum(start + step < total for start in prefixes)
        if growing < _SHRINK * len(token):
            token, starts, visible = token[:growing], starts[:growing], visible[:growing]
            shared.batch_select_indices(torch.arange(growing, device=model.device))
        visible = torch.cat([visible, visible.new_ones(len(starts), 1)], dim=1)
        with model.autocast():
            output = model.network(
                input_ids=token[:, None],
                attention_mask=visible,
                position_ids=(starts + step - 1)[:, None].clamp(max=model.context - 1),
                past_key_values=shared,
                use_cache=True,
            )
        token = output.logits[:, -1].float().argmax(-1)
        for row, t in zip(said, token.tolist(), strict=False):
            row.append(t)
    return [row[: total - start] for row, start in zip(said, prefixes, strict=True)]


@torch.no_grad()
def samples(
    model: LanguageModel, count: int, length: int, generator: torch.Generator, batch: int = 64
) -> list[list[int]]:
    """`count` sequences of up to `length` tokens that the model itself says, temperature 1, from its start token."""
    start = model.tokenizer.bos_token_id
    start = model.tokenizer.eos_token_id if start is None else start
    end, rows = model.tokenizer.eos_token_id, []
    for first in range(0, count, batch):
        size = min(batch, count - first)
        ids = torch.full((size, 1), start, device=model.device)
        cache: DynamicCache | None = None
        for _ in range(min(length, model.context) - 1):
            with model.autocast():
                output = model.network(input_ids=ids[:, -1:], past_key_values=cache, use_cache=True)
            cache = output.past_key_values
            p = output.logits[:, -1].float().softmax(-1).cpu()
            ids = torch.cat(
                [ids, torch.multinomial(p, 1, generator=generator).to(ids.device)], dim=1
            )
        rows += [row[: row.index(end, 1) + 1] if end in row[1:] else row for row in ids.tolist()]
    return rows
