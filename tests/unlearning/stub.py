"""A real module that follows a table: after token a it says b, whatever stood before."""

from types import SimpleNamespace
from typing import cast

import torch
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from unlearning.models import Kind, LanguageModel

VOCABULARY = 10
END = 0


class Table(GPT2LMHeadModel):
    """GPT-2 whose logits are replaced by a table, so that its cache and its interface stay the real ones."""

    def __init__(self, table: torch.Tensor) -> None:
        config = GPT2Config(
            vocab_size=len(table),
            n_positions=64,
            n_embd=4,
            n_layer=1,
            n_head=1,
            bos_token_id=END,
            eos_token_id=END,
            pad_token_id=END,
        )
        with torch.random.fork_rng():
            super().__init__(config)
        self.register_buffer("table", table, persistent=False)

    def forward(self, input_ids: torch.Tensor, **given: object) -> object:  # type: ignore[override]
        output = super().forward(input_ids=input_ids, **given)
        output.logits = cast("torch.Tensor", self.table)[input_ids]
        return output


def says(following: dict[int, int], strength: float = 5.0) -> LanguageModel:
    """A model whose first choice after a is `following[a]`, and the end token after anything else."""
    table = torch.zeros(VOCABULARY, VOCABULARY)
    for token in range(VOCABULARY):
        table[token, following.get(token, END)] = strength
    return of_table(table)


def of_table(table: torch.Tensor) -> LanguageModel:
    """A model whose logits after token a are `table[a]`."""
    tokenizer = cast(
        "PreTrainedTokenizerFast",
        SimpleNamespace(eos_token_id=END, bos_token_id=END, pad_token_id=END),
    )
    return LanguageModel(Table(table).eval(), tokenizer, Kind.CAUSAL)
