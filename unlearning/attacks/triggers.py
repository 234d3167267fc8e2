"""Greedy coordinate gradient: the tokens behind many texts at once under which their secrets are likeliest."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import DynamicCache

from unlearning.encoding import pad
from unlearning.models import LanguageModel, tokens_per_batch

Question = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
"""As tokens: the text that the suffix stands behind, what follows the suffix, and the secret after that."""


class Texts:
    """Texts that stand before secrets, read once, so that many suffixes can be tried behind each.

    A text is cut at its front where it would not fit into the context with `room` tokens of suffix and its secret.
    """

    def __init__(self, model: LanguageModel, questions: Sequence[Question], room: int) -> None:
        self.model = model
        texts = [t[max(0, len(t) + room + len(c + s) - model.context) :] for t, c, s in questions]
        self.labels, _ = pad([c + s for _, c, s in questions], 0, model.device)  # (B, S)
        scored = [[0] * len(c) + [1] * len(s) for _, c, s in questions]
        self.real, _ = pad(scored, 0, model.device)
        self.last = torch.tensor([t[-1] for t in texts], device=model.device)
        ids, self.seen = pad([t[:-1] for t in texts], 0, model.device)  # (B, T)
        self.layers: list[tuple[torch.Tensor, torch.Tensor]] = []
        if ids.shape[1]:
            with torch.no_grad(), model.autocast():
                output = model.network(input_ids=ids, attention_mask=self.seen, use_cache=True)
            self.layers = [(layer.keys, layer.values) for layer in output.past_key_values.layers]

    def log_probability(self, suffixes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Suffixes (C, n) -> mean log p of each secret's tokens, in nats, and whether all are first choices: (C, B)."""
        width = self.seen.shape[1] + 1 + suffixes.shape[1] + self.labels.shape[1]
        step = max(1, tokens_per_batch(self.model) // (len(self.last) * width))
        with torch.no_grad():
            parts = [self._asked(self._embedded(part)) for part in torch.split(suffixes, step)]
        log_p, hit = (torch.cat(part) for part in zip(*parts, strict=True))
        return log_p, hit

    def gain(self, suffix: torch.Tensor) -> torch.Tensor:
        """(n, V): the rise of the mean log p, to first order, when a token of the suffix (n,) becomes another."""
        with torch.enable_grad():
            embedded = self._embedded(suffix[None]).detach().requires_grad_()
            slope = torch.autograd.grad(self._asked(embedded)[0].mean(), embedded)[0]
        slope = slope[0, :, 1 : 1 + len(suffix)].sum(0)  # (n, d)
        with torch.no_grad():
            table = self.model.network.get_input_embeddings().weight
            rise: torch.Tensor = slope.float() @ table.float().T
            return rise - rise.gather(-1, suffix[:, None])

    def _embedded(self, suffixes: torch.Tensor) -> torch.Tensor:
        """(C, B, 1 + n + S - 1, d): the text's last token, the suffix, what follows but for its last token."""
        size, texts = len(suffixes), len(self.last)
        ids = torch.cat(
            [
                self.last[None, :, None].expand(size, -1, -1),
                suffixes[:, None].expand(-1, texts, -1),
                self.labels[None, :, :-1].expand(size, -1, -1),
            ],
            dim=-1,
        )
        found: torch.Tensor = self.model.network.get_input_embeddings()(ids)
        return found

    def _asked(self, embedded: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        size, texts, length, _ = embedded.shape
        seen = torch.cat([self.seen, self.seen.new_ones(texts, length)], dim=1)
        places = self.seen.sum(-1)[:, None] + torch.arange(length, device=seen.device)
        cache = DynamicCache()
        for index, layer in enumerate(self.layers):
            cache.update(*(x.repeat(size, 1, 1, 1) for x in layer), index)
        with self.model.autocast():
            output = self.model.network(
                inputs_embeds=embedded.flatten(0, 1),
                attention_mask=seen.repeat(size, 1),
                position_ids=places.repeat(size, 1).clamp(max=self.model.context - 1),
                past_key_values=cache,
                use_cache=True,
            )
        answers = self.labels.shape[1]
        logits = output.logits[:, length - answers :].float()  # (C * B, S, V)
        labels, real = self.labels.repeat(size, 1), self.real.repeat(size, 1)
        own = logits.log_softmax(-1).gather(-1, labels[..., None]).squeeze(-1)
        hit = ((logits.argmax(-1) == labels) | (real == 0)).all(-1)
        log_p = (own * real).sum(-1) / real.sum(-1)
        return log_p.view(size, texts), hit.view(size, texts)


@dataclass(frozen=True)
class Greedy:
    """The search (Zou et al. 2023, algorithm 1): replacements by gradient, then tried out; only what helps is kept."""

    tokens: int
    steps: int
    candidates: int
    top: int

    def suffix(
        self, model: LanguageModel, questions: Sequence[Question], order: torch.Generator
    ) -> torch.Tensor:
        """(n,): the best suffix found behind these texts, from random tokens; special tokens are never used."""
        texts = Texts(model, questions, self.tokens)
        special = set(model.tokenizer.all_special_ids)
        usable = [t for t in range(len(model.tokenizer)) if t not in special]
        free = torch.tensor(usable, device=model.device)

        def draw(below: int, count: int) -> torch.Tensor:
            return torch.randint(below, (count,), generator=order).to(model.device)

        found = free[draw(len(free), self.tokens)]
        best = texts.log_probability(found[None])[0].mean()
        for _ in range(self.steps):
            options = free[texts.gain(found)[:, free].topk(min(self.top, len(free))).indices]
            at = draw(self.tokens, self.candidates)
            tries = found.repeat(self.candidates, 1)  # (C, n)
            tries[torch.arange(self.candidates), at] = options[
                at, draw(options.shape[1], self.candidates)
            ]
            values = texts.log_probability(tries)[0].mean(-1)
            if values.max() > best:
                best, found = values.max(), tries[values.argmax()]
        return found
