"""From encoded passages to what a training step needs: logits, labels, and which positions count."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from unlearning.encoding import Encoded, pad, sensitive_mask
from unlearning.models import Kind, LanguageModel


@dataclass(frozen=True)
class Batch:
    """Passages ready for a network.

    Attributes:
        inputs, attention: (B, T) what the network reads; of a seq2seq model, what its decoder is shown.
        labels: (B, P) the token each scored position ought to predict; of a classifier the class, P = 1.
        secret: (B, P) positions whose label is a secret's token, or the class of a person's text.
        valid: (B, P) positions that predict a token of the text at all, or a class.
        shift: 1 where a token is predicted from those before it (causal, seq2seq: P = T - 1), 0 where the prediction
            stands at the label (masked: P = T; classifier).
        source, source_attention: (B, S) what the encoder of a seq2seq model reads.
    """

    inputs: torch.Tensor
    attention: torch.Tensor
    labels: torch.Tensor
    secret: torch.Tensor
    valid: torch.Tensor
    shift: int
    source: torch.Tensor | None = None
    source_attention: torch.Tensor | None = None

    def logits(self, model: LanguageModel) -> torch.Tensor:
        """(B, P, V) in fp32, V the vocabulary or the classes; gradients as the caller has them."""
        given: dict[str, object] = {"input_ids": self.inputs, "attention_mask": self.attention}
        if self.source is not None:
            given = {f"decoder_{name}": value for name, value in given.items()}
            given |= {"input_ids": self.source, "attention_mask": self.source_attention}
        if self.shift:  # it writes, and would keep what it has read
            given["use_cache"] = False
        with model.autocast():
            out = model.network(**given).logits
        if model.kind is Kind.CLASSIFIER:
            out = out[:, None]
        logits: torch.Tensor = out[:, : out.shape[1] - self.shift].float()
        return logits


def batch_of(
    model: LanguageModel, rows: Sequence[Encoded], generator: torch.Generator, share: float = 0.15
) -> Batch:
    """Pad rows into a batch.

    A causal batch is the text itself. In a masked batch every secret is hidden from a random token of it onward, as the
    attacks will ask for it, and outside of secrets `share` of the tokens are hidden; only hidden positions are valid. A
    seq2seq model is shown its answer as it goes (teacher forcing), a classifier the text and nothing of the answer.
    """
    ids, attention = pad([row.ids for row in rows], 0, model.device)
    secret = sensitive_mask(rows, model.device)
    if model.kind is Kind.CLASSIFIER:
        fill = model.network.config.pad_token_id  # by which some find the end of the text
        inputs, attention = pad([row.source for row in rows], fill, model.device)
        return Batch(inputs, attention, ids, secret, torch.ones_like(secret), 0)
    if not model.masked:
        valid = attention[:, 1:].bool()
        batch = Batch(ids, attention, ids[:, 1:], secret[:, 1:] & valid, valid, 1)
        if model.kind is Kind.CAUSAL:
            return batch
        source, mask = pad([row.source for row in rows], 0, model.device)
        return replace(batch, source=source, source_attention=mask)
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
