"""What our losses and the judges' are both given: batches of the people in `judged`, and the settings."""

from collections.abc import Iterator

import torch

from tests.unlearning import judged
from unlearning.batches import Batch, batch_of
from unlearning.layers import blocks, fed
from unlearning.models import LanguageModel
from unlearning.unlearned import seeded

BETA, SIMPLE_BETA, DELTA, WEIGHT, ALPHA = 0.1, 4.5, 0.25, 0.8, 5.0
LAYER, STEPS, RADIUS = 1, 6, 0.1
PUSHED = 3  # passages


def batches(model: LanguageModel) -> Iterator[tuple[str, Batch, torch.Tensor]]:
    """One padded batch, with all its tokens and with the secrets alone: (name, batch, mask)."""
    batch = batch_of(model, judged.members(), seeded(0))
    yield "text", batch, batch.valid
    yield "spans", batch, batch.secret


def watched(model: LanguageModel) -> Iterator[tuple[Batch, torch.Tensor]]:
    """Single passages, each with what goes into the block that is pushed (1, T, d)."""
    for row in judged.members()[:PUSHED]:
        batch = batch_of(model, [row], seeded(0))
        with fed([blocks(model)[LAYER]]) as seen, torch.no_grad():
            batch.logits(model)
        yield batch, seen[0]
