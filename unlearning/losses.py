"""Losses as pure functions of logits, labels and masks: positions a mask leaves out do not move them."""

import torch
from torch.nn.functional import cross_entropy


def token_nll(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """-log p(label) per position. logits (B, T, V), labels (B, T) -> (B, T), nats."""
    return cross_entropy(logits.flatten(0, -2), labels.flatten(), reduction="none").view_as(labels)


def masked_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean of values where mask is True; 0 when it is True nowhere. values, mask (B, T) -> ()."""
    return (values * mask).sum() / mask.sum().clamp(min=1)


def capped_ascent(nll: torch.Tensor, mask: torch.Tensor, cap: torch.Tensor | float) -> torch.Tensor:
    """mean over masked tokens of max(0, cap - nll): ascent that ends, token by token, at `cap` nats.

    Selective ascent (Wang et al. 2024: the loss on span tokens only, negated) with each token's ascent bounded, so that
    forgotten text does not become less likely than text the model never saw. nll, mask (B, T), cap () or (B, T) -> ().
    """
    return masked_mean((cap - nll).clamp(min=0), mask)


def kl_from(reference: torch.Tensor, logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """mean over masked positions of KL(reference || current), both given as logits (B, T, V) -> (), nats."""
    log_r, log_c = reference.log_softmax(-1), logits.log_softmax(-1)
    return masked_mean((log_r.exp() * (log_r - log_c)).sum(-1), mask)


def mixture_nll(target: torch.Tensor, logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """mean over masked positions of KL(target || current); target probabilities (B, T, V) -> (), nats.

    Leave-one-out ensemble (Liu & Kalinli 2023): the teachers' distribution supervises the deployed model.
    """
    entropy = torch.special.entr(target).sum(-1)
    return masked_mean(-(target * logits.log_softmax(-1)).sum(-1) - entropy, mask)
