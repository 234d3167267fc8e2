"""Ask again after the model was changed as an owner or an attacker may change it: is what was hidden back?

A change is made to a copy. What comes back must not exceed what the same change gives away about strangers, who go
through it alongside the person: with enough freedom every model "recovers" text it never saw.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch

from domain.outcomes import Score
from unlearning.attacks.exposure import Exposure
from unlearning.attacks.extraction import Extraction
from unlearning.batches import batch_of
from unlearning.encoding import Encoded
from unlearning.losses import masked_mean, token_nll
from unlearning.models import LanguageModel, copy_of
from unlearning.scoring import Target

MOST = 31


def asked_again(
    model: LanguageModel,
    members: Sequence[Encoded],
    controls: Sequence[Encoded],
    after: str,
    tail: float = 0.05,
) -> tuple[Score, ...]:
    """Exposure, first ranks and extraction of a changed model; `after` is put behind the metrics' names.

    Exposure is among `MOST` candidates: a secret that is back ranks first among few as among many.
    """
    target = Target(model)
    results = (
        Exposure(most=MOST, tail=tail).run(target, members, controls),
        Extraction((0,)).run(target, members, controls),
    )
    return tuple(
        replace(score, metric=f"{score.metric}_{after}")
        for result in results
        for score in result.scores
    )


def fine_tuned(
    model: LanguageModel, batches: Iterable[Sequence[Encoded]], rate: float, seed: int
) -> LanguageModel:
    """A copy after one step of Adam on the mean nll of each batch, dropout off."""
    changed = copy_of(model)
    changed.network.requires_grad_(True)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(changed.network.parameters(), lr=rate)
    for rows in batches:
        batch = batch_of(changed, rows, generator)
        loss = masked_mean(token_nll(batch.logits(changed), batch.labels), batch.valid)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(changed.network.parameters(), 1.0)
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return changed
