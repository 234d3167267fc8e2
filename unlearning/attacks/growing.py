"""Texts that grow in step from beginnings of one text: drawn at random, or searched for the likeliest."""

import torch
from transformers import DynamicCache

from unlearning.generation import repeated
from unlearning.models import LanguageModel


class Texts:
    """Beginnings of one text that grow in step, on one cache; a mask hides from each what lies beyond it.

    `logits` (R, V) are those of each text's next token.
    """

    def __init__(
        self, model: LanguageModel, cache: DynamicCache, logits: torch.Tensor, starts: torch.Tensor
    ) -> None:
        longest = int(starts.max())
        self.model, self.at = model, starts
        self.cache = repeated(cache, len(starts), longest)
        self.visible = (torch.arange(longest, device=starts.device) < starts[:, None]).long()
        self.logits = logits[starts - 1]

    def say(self, tokens: torch.Tensor) -> None:
        """Put one token (R,) behind each text."""
        self.visible = torch.cat([self.visible, self.visible.new_ones(len(tokens), 1)], dim=1)
        with self.model.autocast():
            output = self.model.network(
                input_ids=tokens[:, None],
                attention_mask=self.visible,
                position_ids=self.at[:, None].clamp(max=self.model.context - 1),
                past_key_values=self.cache,
                use_cache=True,
            )
        self.logits, self.at = output.logits[:, -1].float(), self.at + 1

    def keep(self, rows: torch.Tensor) -> None:
        """Text r becomes what text `rows[r]` was."""
        self.cache.reorder_cache(rows)
        self.visible, self.at = self.visible[rows], self.at[rows]


def drawn(
    texts: Texts, steps: int, temperature: float, top_k: int, order: torch.Generator
) -> torch.Tensor:
    """`steps` tokens behind each text, (R, steps), drawn from the `top_k` likeliest."""
    said: list[torch.Tensor] = []
    for _ in range(steps):
        if said:
            texts.say(said[-1])
        top = texts.logits.topk(min(top_k, texts.logits.shape[-1]))  # (R, K)
        p = (top.values / temperature).softmax(-1).cpu()
        place = torch.multinomial(p, 1, generator=order).to(top.indices.device)
        said.append(top.indices.gather(-1, place).squeeze(-1))
    return torch.stack(said, dim=1)


def searched(texts: Texts, steps: int, width: int) -> torch.Tensor:
    """The `width` likeliest continuations found by beam search, (R, steps), the likeliest of each text first.

    The texts come `width` times each; at first only one of each counts. An end token is a token like any other.
    """
    vocabulary, device = texts.logits.shape[-1], texts.logits.device
    total = torch.full((len(texts.logits) // width, width), -torch.inf, device=device)  # (S, W)
    total[:, 0] = 0.0
    first = torch.arange(len(total), device=device)[:, None] * width
    said = torch.empty(total.numel(), 0, dtype=torch.long, device=device)
    for step in range(steps):
        if step:
            texts.say(said[:, -1])
        log_p = texts.logits.log_softmax(-1).view(-1, width, vocabulary)
        total, place = (total[..., None] + log_p).flatten(1).topk(width)
        kept = (first + place // vocabulary).flatten()
        said = torch.cat([said[kept], (place % vocabulary).view(-1, 1)], dim=1)
        texts.keep(kept)
    return said
