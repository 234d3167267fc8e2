"""Rewards for what a model says: how much of a person a text holds, which token it earns, and the losses that follow.

After Quark (Lu et al. 2022, NeurIPS, arXiv 2205.13636), whose reward is one minus toxicity; here it is one minus the
share of a secret.
"""

import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Sequence

import torch

from unlearning.losses import masked_mean

LEAST = 3
"""Letters and digits: so many at the beginning of a secret also begin other things."""


def share_of(secrets: Collection[str], text: str) -> float:
    """The longest beginning of a secret that stands in a text, as a share of that secret, 0 to 1.

    Letters and digits count, without case, spaces and punctuation; beginnings shorter than `LEAST` do not, unless they
    are all of it.
    """
    said = letters(text)
    return max((_begun(letters(secret), said) for secret in secrets), default=0.0)


def letters(text: str) -> str:
    """The letters and digits of a text, casefolded."""
    return "".join(c for c in unicodedata.normalize("NFKC", text).casefold() if c.isalnum())


def _begun(secret: str, said: str) -> float:
    begun = [n for n in range(min(LEAST, len(secret)), len(secret) + 1) if n and secret[:n] in said]
    return max(begun, default=0) / max(1, len(secret))


def quantiles(rewards: Sequence[float], count: int) -> list[int]:
    """For each sample the number of its quantile, from 0 for the best to `count` - 1 (Lu et al. 2022, section 2.2).

    The i-th best of n is in floor(i * count / n), so that sizes differ by one at most. Equal rewards are in one
    quantile, that of their middle; the best are always in the first, and the worst, where they are others, in the last.
    """
    ordered = sorted(-reward for reward in rewards)
    found = []
    for reward in rewards:
        first, end = bisect_left(ordered, -reward), bisect_right(ordered, -reward)
        middle = (first + end - 1) * count // (2 * len(ordered))
        found.append(0 if first == 0 else count - 1 if end == len(ordered) else middle)
    return found


def kl_to(logits: torch.Tensor, reference: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """mean over masked positions of KL(current || reference), both given as logits (B, T, V) -> (), nats.

    The direction of Quark's code: what the model says now, and the reference does not, costs most.
    """
    log_c, log_r = logits.log_softmax(-1), reference.log_softmax(-1)
    return masked_mean((log_c.exp() * (log_c - log_r)).sum(-1), mask)


def entropy(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """mean over masked positions of the entropy of softmax(logits (B, T, V)) -> (), nats."""
    return masked_mean(torch.special.entr(logits.softmax(-1)).sum(-1), mask)


def unlikelihood(nll: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """mean over masked tokens of -log(1 - p), p = exp(-nll); nll, mask (B, T) -> (), nats.

    Welleck et al. 2020 (arXiv 1908.04319), equation 5. 1e-6 nats are added, without which a sure token had no gradient.
    """
    return masked_mean(-torch.log(-torch.expm1(-(nll + 1e-6))), mask)
