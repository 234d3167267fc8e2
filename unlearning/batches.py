"""From encoded passages to what a training step needs: logits, labels, and which positions count."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from unlearning.encoding import Encoded, pad, sensitive_mask
from unlearning.models import LanguageModel


@dataclass(frozen=True)
class Batch:
    """Passages ready for a network.

    Attributes:
        inputs, attention: (B, T) what the network reads.
        labels: (B, P) the token each scored position ought to predict.
        secret: (B, P) positions whose label is a secret's token.
        valid: (B, P) positions that predict a token of the text at all.
        shift: 1 for causal models (P = T - 1, logits before the label), 0 for masked ones (P = T, at the label).
    """

    inputs: torch.Tensor
    attention: torch.Tensor
    labels: torch.Tensor
    secret: torch.Tensor
    valid: torch.Tensor
    shift: int

    def logits(self, model: LanguageModel) -> torch.Tensor:
        """(B, P, V) in fp32; gradients as the caller has them."""
        with model.autocast():
            out = model.network(input_ids=self.inputs, attention_mask=self.attention).logits
        logits: torch.Tensor = out[:, : out.shape[1] - self.shift].float()
        return logits


def batch_of(
    model: LanguageModel, rows: Sequence[Encoded], generator: torch.Generator, share: float = 0.15
) -> Batch:
    """Pad rows into a batch.

    A causal batch is the text itself. In a masked batch every secret is hidden from a random token of it onward, as the
    attacks will ask for it, and outside of secrets `share` of the tokens are hidden; only hidden positions are valid.
    """
    ids, attention = pad([row.ids for row in rows], 0, model.device)
    secret = sensitive_mask(rows, model.device)
    if not model.masked:
        valid = attention[:, 1:].bool()
        return Batch(ids, attention, ids[:, 1:], secret[:, 1:] & valid, valid, 1)
    hidden = torch.rand(ids.shape, generator=generator).to(ids.device) < share
    hidden &= attention.bool() & ~secret
    hidden[:, 0] = False
    for i, row in enumerate(rows):
        hidden[i, len(row) - 1] = False  # [SEP]
        for span in row.spans:
            width = span.end - span.start
            first = span.start + int(torch.randint(width, (1,), generator=generator))
            hidden[i, first : span.end] = True
    inputs = ids.masked_fill(hidden, model.tokenizer.mask_token_id)
    return Batch(inputs, attention, ids, secret & hidden, hidden, 0)


def endless(
    rows: Sequence[Encoded], size: int, generator: torch.Generator
) -> Iterator[list[Encoded]]:
    """Batches of at most `size` rows, for ever; each round is a new order. Nothing at all when there are no rows."""
    while rows:
        order = torch.randperm(len(rows), generator=generator).tolist()
        for start in range(0, len(order), size):
            yield [rows[i] for i in order[start : start + size]]
