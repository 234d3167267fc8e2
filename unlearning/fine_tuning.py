"""A few steps of ordinary training on a copy: as an owner, an attacker, or a method that looks ahead does."""

from collections.abc import Iterable, Sequence

import torch

from unlearning.batches import batch_of
from unlearning.encoding import Encoded
from unlearning.losses import masked_mean, token_nll
from unlearning.models import LanguageModel, copy_of


def fine_tuned(
    model: LanguageModel, batches: Iterable[Sequence[Encoded]], rate: float, seed: int
) -> LanguageModel:
    """A copy in fp32, after one step of Adam on the mean nll of each batch, dropout off.

    In bf16 most steps are smaller than the distance between two weights and would be rounded away.
    """
    changed = copy_of(model)
    changed.network.float().requires_grad_(True)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(changed.network.parameters(), lr=rate)
    for rows in batches:
        batch = batch_of(changed, rows, generator)
        loss = masked_mean(token_nll(batch.logits(changed), batch.labels), batch.valid)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(changed.network.parameters(), 1.0)
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return changed
