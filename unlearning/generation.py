"""Greedy continuations of every prefix of a sequence, from one pass over it, and samples from a model.

Library generation would read the prefix again for each of its lengths. Here many sequences are read at once, their
key-value cache is given to all prefixes, and a mask hides from each what lies beyond it.
"""

from bisect import bisect_right
from collections.abc import Sequence

import torch
from torch.nn.functional import pad as pad_end
from transformers import Cache, DynamicCache
from transformers.cache_utils import DynamicLayer

from unlearning.encoding import by_length, pad
from unlearning.models import LanguageModel, tokens_per_batch


def shared_cache(model: LanguageModel, ids: Sequence[int]) -> tuple[DynamicCache, torch.Tensor]:
    """Read `ids` once. Returns its cache (batch 1) and the logits (T, V) in fp32."""
    row = torch.tensor([list(ids)], device=model.device)
    with model.autocast():
        output = model.network(input_ids=row, past_key_values=DynamicCache(), use_cache=True)
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
    model: LanguageModel, texts: Sequence[Sequence[int]], prefixes: Sequence[Sequence[int]]
) -> list[list[list[int]]]:
    """For each text and each of its prefix lengths i >= 1, the greedy tokens i..T-1; an early end token is left out.

    Greedy decoding from i says the true tokens up to the first that is not the model's first choice, at position j,
    and goes on as from prefix j. So only such positions are generated, those of many texts in one batch.
    """
    found: list[list[list[int]]] = [[] for _ in texts]
    end = model.tokenizer.eos_token_id
    for batch in by_length(texts, tokens_per_batch(model)):
        rows = [texts[i] for i in batch]
        ids, mask = pad(rows, 0, model.device)
        with model.autocast():
            output = model.network(
                input_ids=ids, attention_mask=mask, past_key_values=DynamicCache(), use_cache=True
            )
        best = output.logits.argmax(-1)  # (B, T)
        following = [_following(row, said) for row, said in zip(rows, best.tolist(), strict=True)]
        needed = {
            (len(row), r, after[i])
            for r, (row, after) in enumerate(zip(rows, following, strict=True))
            for i in prefixes[batch[r]]
            if after[i] < len(row)
        }
        grown = _grown(model, output.past_key_values, best, sorted(needed))
        for r, (row, after) in enumerate(zip(rows, following, strict=True)):
            found[batch[r]] = [
                _until(end, [*row[i : after[i]], *grown.get((r, after[i]), [])])
                for i in prefixes[batch[r]]
            ]
    return found


def _following(row: Sequence[int], said: Sequence[int]) -> list[int]:
    """For each i the first position from i on that greedy decoding gets wrong; the length where there is none."""
    following = [len(row)] * (len(row) + 1)
    for j in range(len(row) - 1, 0, -1):
        following[j] = following[j + 1] if said[j - 1] == row[j] else j
    return following


def _until(end: int, ids: list[int]) -> list[int]:
    return ids[: ids.index(end)] if end in ids else ids


_GROUP = 128


def _grown(
    model: LanguageModel,
    cache: DynamicCache,
    best: torch.Tensor,
    needed: Sequence[tuple[int, int, int]],
) -> dict[tuple[int, int], list[int]]:
    """Greedy tokens for each of `needed`, (length of the text, row of the cache, prefix length), by length."""
    grown: dict[tuple[int, int], list[int]] = {}
    for at in range(0, len(needed), _GROUP):
        group = sorted(needed[at : at + _GROUP], key=lambda one: one[2])
        said = _grow(model, cache, best, group)
        for (length, row, start), text in zip(group, said, strict=True):
            grown[row, start] = text[start:length]
    return grown


def _grow(
    model: LanguageModel,
    cache: DynamicCache,
    best: torch.Tensor,
    group: Sequence[tuple[int, int, int]],
) -> list[list[int]]:
    """The tokens of a group, by prefix length, each row right from its prefix on.

    They grow place by place: a row joins where its prefix ends, so that all are equally long and nothing is masked. The
    shorter texts of a group are grown to the end of its longest.
    """
    lengths, rows, starts = torch.tensor(group, device=model.device).unbind(1)
    length, joined = int(lengths.max()), [start for *_, start in group]
    layers = [_Places(layer, rows, length) for layer in cache.layers]
    said = rows.new_zeros(len(group), length)
    said.scatter_(1, starts[:, None], best[rows, starts - 1, None])
    for place in range(joined[0], length - 1):
        growing = bisect_right(joined, place)
        for layer in layers:
            layer.move(growing, place)
        with model.autocast():
            output = model.network(
                input_ids=said[:growing, place, None],
                position_ids=starts.new_full((growing, 1), place),
                past_key_values=Cache(layers=layers),
                use_cache=True,
            )
        said[:growing, place + 1] = output.logits[:, -1].argmax(-1)
    return said.tolist()


class _Places(DynamicLayer):  # type: ignore[misc]  # transformers has no types here
    """A layer of a cache with room for the whole text, in which the first rows grow in step, over what was there.

    Of what `read` has, it takes `rows` (R,); its keys and values are (R, heads, length, width).
    """

    def __init__(self, read: DynamicLayer, rows: torch.Tensor, length: int) -> None:
        super().__init__()
        self.dtype, self.device, self.is_initialized = read.dtype, read.device, True
        room = (0, 0, 0, length - read.keys.shape[-2])  # negative where the batch has longer texts
        self.keys, self.values = (pad_end(x, room)[rows] for x in (read.keys, read.values))

    def move(self, growing: int, place: int) -> None:
        """The next token of each of the first `growing` rows belongs at `place`."""
        self.growing, self.place = growing, place

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: object, **__: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write one token of each row, (R, heads, 1, width); returns their keys and values up to it."""
        found = []
        for kept, new in ((self.keys, key_states), (self.values, value_states)):
            kept[: self.growing, :, self.place] = new[:, :, 0]
            found.append(kept[: self.growing, :, : self.place + 1])
        return found[0], found[1]

    def get_seq_length(self) -> int:
        """The tokens before the one now read."""
        return self.place


@torch.no_grad()
def samples(
    model: LanguageModel, count: int, length: int, generator: torch.Generator, batch: int = 64
) -> list[list[int]]:
    """`count` sequences of up to `length` tokens that the model itself says, temperature 1, from its start token."""
    start = model.tokenizer.bos_token_id
    start = model.tokenizer.eos_token_id if start is None else start
    room, rows = min(length, model.context) - 1, []
    for first in range(0, count, batch):
        prompts = [[start]] * min(batch, count - first)
        rows += [[start, *said] for said in responses(model, prompts, room, generator)]
    return rows


@torch.no_grad()
def responses(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    length: int,
    generator: torch.Generator,
    vocabulary: int | None = None,
) -> list[list[int]]:
    """What the model says behind each prompt: up to `length` tokens, temperature 1, its end token included.

    With `vocabulary` only the tokens below that id are said. Shorter prompts are padded on the left.
    """
    longest, end = max(map(len, prompts)), model.tokenizer.eos_token_id
    missing = [longest - len(prompt) for prompt in prompts]
    rows = [[end] * gap + list(prompt) for gap, prompt in zip(missing, prompts, strict=True)]
    ids, gaps = torch.tensor(rows, device=model.device), torch.tensor(missing, device=model.device)
    cache: DynamicCache | None = None
    for _ in range(length):
        places = torch.arange(ids.shape[1], device=model.device) - gaps[:, None]  # (R, T)
        unread = slice(None) if cache is None else slice(-1, None)
        padded = {"attention_mask": places >= 0, "position_ids": places.clamp(min=0)[:, unread]}
        with model.autocast():
            output = model.network(
                input_ids=ids[:, unread],
                past_key_values=cache,
                use_cache=True,
                **(padded if any(missing) else {}),
            )
        cache = output.past_key_values
        p = output.logits[:, -1, :vocabulary].float().softmax(-1).cpu()
        drawn = torch.multinomial(p, 1, generator=generator)
        ids = torch.cat([ids, drawn.to(ids.device)], dim=1)
    said = ids[:, longest:].tolist()
    return [row[: row.index(end) + 1] if end in row else row for row in said]


@torch.no_grad()
def answers(model: LanguageModel, sources: Sequence[Sequence[int]], length: int) -> list[list[int]]:
    """What a seq2seq model says to each source: its likeliest tokens, from its start to its end, `length` at most."""
    found: list[list[int]] = [[] for _ in sources]
    end = model.tokenizer.eos_token_id
    for batch in by_length(sources, tokens_per_batch(model)):
        ids, mask = pad([sources[i] for i in batch], 0, model.device)
        with model.autocast():
            said = model.network.generate(
                input_ids=ids,
                attention_mask=mask,
                decoder_start_token_id=model.starts,
                eos_token_id=end,
                pad_token_id=end,
                max_new_tokens=min(length, model.context) - 1,
                do_sample=False,
                num_beams=1,
            )
        for i, row in zip(batch, said.tolist(), strict=True):
            found[i] = [row[0], *_until(end, row[1:]), *([end] if end in row[1:] else [])]
    return found
