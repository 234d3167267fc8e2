"""Losses as pure functions of logits, labels and masks: positions a mask leaves out do not move them."""

import math

import torch
from torch.nn.functional import cross_entropy, softplus


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


def capped_odds(
    logits: torch.Tensor, labels: torch.Tensor, mask: torch.Tensor, cap: torch.Tensor
) -> torch.Tensor:
    """mean over masked tokens of max(0, log(e^cap - 1) - log((1 - p) / p)): ascent of the log odds, up to `cap` nats.

    It ends where `capped_ascent` does, and leaves at once what is known by heart: its slope at the label's logit is -1
    whatever p is, where the nll's is p - 1. logits (B, T, V), labels, mask, cap (B, T) -> ().
    """
    label = labels.unsqueeze(-1)
    against = logits.scatter(-1, label, -math.inf).logsumexp(-1)
    odds = against - logits.gather(-1, label).squeeze(-1)
    return masked_mean((cap.expm1().log() - odds).clamp(min=0), mask)


def token_kl(reference: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """KL(reference || current) per position, both given as logits (B, T, V) -> (B, T), nats."""
    log_r, log_c = reference.log_softmax(-1), logits.log_softmax(-1)
    return (log_r.exp() * (log_r - log_c)).sum(-1)


def kl_from(reference: torch.Tensor, logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """mean over masked positions of KL(reference || current), both given as logits (B, T, V) -> (), nats."""
    return masked_mean(token_kl(reference, logits), mask)


def mixture_nll(target: torch.Tensor, logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """mean over masked positions of KL(target || current); target probabilities (B, T, V) -> (), nats.

    Leave-one-out ensemble (Liu & Kalinli 2023): the teachers' distribution supervises the deployed model.
    """
    entropy = torch.special.entr(target).sum(-1)
    return masked_mean(-(target * logits.log_softmax(-1)).sum(-1) - entropy, mask)


def per_passage(nll: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Sum and number of masked tokens of each passage that has any. nll, mask (B, T) -> (N,), (N,), N <= B."""
    counts = mask.sum(-1)
    some = counts > 0
    return (nll * mask).sum(-1)[some], counts[some]


def ascent(nll: torch.Tensor, mask: torch.Tensor, beta: float = 0.0) -> torch.Tensor:
    """-mean over masked tokens of p^beta * nll, p = exp(-nll) held fixed; nll, mask (B, T) -> (), nats.

    beta 0: gradient ascent (Jang et al. 2023, arXiv 2210.01504). Above it: WGA (Wang et al. 2025, arXiv
    2502.19301), which lets go of a token as it becomes unlikely.
    """
    weight = (-beta * nll.detach()).exp()
    return -masked_mean(weight * nll, mask)


def npo(
    nll: torch.Tensor, reference: torch.Tensor, mask: torch.Tensor, beta: float
) -> torch.Tensor:
    """(2 / beta) * mean over passages of softplus(-beta * (S - S_ref)), S = sum of a passage's masked nll.

    Negative preference optimisation (Zhang et al. 2024, arXiv 2404.05868). Its gradient is ascent's times
    2 p^beta / (p^beta + p_ref^beta), p = exp(-S): 1 at the start, 0 once the passage is unlikely. Passages without a
    masked token do not count. nll, reference, mask (B, T) -> ().
    """
    gained = per_passage(nll - reference, mask)[0]
    return 2 / beta * softplus(-beta * gained).sum() / max(1, len(gained))


def simnpo(nll: torch.Tensor, mask: torch.Tensor, beta: float, delta: float) -> torch.Tensor:
    """(2 / beta) * mean over passages of softplus(-beta * (S / length - delta)); nll, mask (B, T) -> ().

    SimNPO (Fan et al. 2024, arXiv 2410.07163): no reference model, and long passages weigh no more than short
    ones. The length counts the masked, predicted tokens.
    """
    total, count = per_passage(nll, mask)
    return 2 / beta * softplus(-beta * (total / count - delta)).sum() / max(1, len(total))
