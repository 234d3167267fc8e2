"""Tokens behind a model's own vocabulary, under which it learns what it is rewarded for; taken out in the end."""

from dataclasses import dataclass, replace

import torch

from unlearning.encoding import Encoded
from unlearning.models import LanguageModel
from unlearning.unlearned import seeded


@dataclass(frozen=True)
class RewardTokens:
    """The reward tokens of a model: the rows behind its own vocabulary."""

    model: LanguageModel
    vocabulary: int
    ids: tuple[int, ...]

    @classmethod
    def added(cls, model: LanguageModel, count: int, seed: int, lora_rank: int) -> "RewardTokens":
        """Add them, each near the mean word. With adapters, the tokens are all that learns of the embedding."""
        size = int(model.network.get_input_embeddings().num_embeddings)
        _resize(model, size + count)
        weight = model.network.get_input_embeddings().weight
        with torch.no_grad():
            words = weight[:size]
            drawn = torch.randn((count, words.shape[1]), generator=seeded(seed)).to(weight)
            weight[size:] = words.mean(0) + words.std(0) * drawn
        if lora_rank:
            weight.requires_grad_(True)
            own = torch.arange(len(weight), device=weight.device)[:, None] >= size
            weight.register_hook(lambda gradient: gradient * own)
        return cls(model, size, tuple(range(size, size + count)))

    def strip(self) -> None:
        """Take them out again; the rows of the vocabulary stay as they are."""
        _resize(self.model, self.vocabulary)
        self.model.network.requires_grad_(True)


def prefix(token: int | None) -> tuple[int, ...]:
    """What stands before a text: the token, or nothing."""
    return () if token is None else (token,)


def under(token: int | None, row: Encoded, context: int) -> Encoded:
    """The row behind a reward token, cut where the context ends."""
    if token is None:
        return row
    return replace(
        row,
        ids=(token, *row.ids)[:context],
        sensitive=(False, *row.sensitive)[:context],
    )


def _resize(model: LanguageModel, size: int) -> None:
    """Set the number of rows of the embedding, and of the head where there is one; the first stay as they are."""
    every = range(torch.cuda.device_count())
    with torch.random.fork_rng(every):  # transformers draws weights from the global state
        torch.manual_seed(0)
        model.network.resize_token_embeddings(size, mean_resizing=False)
