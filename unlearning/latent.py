"""The latent attack: a small push on the hidden states of one block that makes a model say a text again.

Latent adversarial unlearning (Yuan et al. 2024, arXiv 2408.10682, section 5; the inner loop as in the authors' code). A
method trains against it (`unlearning.methods.adversarial`); `recovered` measures what it brings back.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from domain.errors import Code, UnlearningFailed
from unlearning.batches import Batch, batch_of
from unlearning.encoding import Encoded
from unlearning.layers import blocks, fed
from unlearning.losses import masked_mean, token_nll
from unlearning.models import LanguageModel

LogitLoss = Callable[[torch.Tensor], torch.Tensor]
"""logits (B, P, V) -> (): what the push lowers."""


@dataclass(frozen=True)
class LatentAttack:
    """Projected gradient descent on the input of one block.

    Attributes:
        layer: number of the block, from 0 (the authors': 4 of 32; shallow ones work best).
        steps: of the descent (the authors' 6); 0 pushes nothing.
        radius: largest L2 norm of one passage's push over all its positions together, as a share of the median norm of
            the batch's passages at that place, so that it fits any model (the authors' 8 is absolute); 0: nothing.
    """

    layer: int = 4
    steps: int = 6
    radius: float = 0.05

    @property
    def idle(self) -> bool:
        """Whether it is no attack at all."""
        return self.steps == 0 or self.radius == 0

    def block(self, model: LanguageModel) -> nn.Module:
        """The block it pushes. Raises `UnlearningFailed` (METHOD_INAPPLICABLE) when the model has no such block."""
        try:
            found = blocks(model)
        except ValueError:
            found = []
        if self.layer >= len(found):
            raise UnlearningFailed(
                Code.METHOD_INAPPLICABLE,
                place="latent attack, option layer",
                remedy=f"the model has {len(found)} blocks, counted from 0; name one of them.",
            )
        return found[self.layer]

    def push(
        self, model: LanguageModel, batch: Batch, loss: LogitLoss, generator: torch.Generator
    ) -> torch.Tensor:
        """The push (B, T, d) that lowers `loss`; leaves the gradients of the weights as they are.

        1. h: the block's input without a push; lowest and highest entry over the batch.
        2. d: normal, each passage's scaled to u * radius, u uniform in (0, 1).
        3. `steps` times: d := P(d - radius / steps * g / (|g| + 1e-6)), g the gradient of the loss by d, norms over a
           passage's positions and dimensions together.
        P shortens d to the radius, then keeps h + d within the lowest and highest entry. Padding is not pushed and not
        counted (in the authors' code it is), so that a passage's push does not depend on its batch's width.
        """
        block, real = self.block(model), batch.attention.bool()[..., None]
        hidden = _input_of(model, block, batch)  # (B, T, d)
        low, high = hidden[real[..., 0]].min(), hidden[real[..., 0]].max()
        if self.idle:
            return torch.zeros_like(hidden)
        radius = self.radius * float(_norm(hidden * real).median())

        def projected(d: torch.Tensor) -> torch.Tensor:
            d = d * (radius / _norm(d).clamp(min=1e-12)).clamp(max=1)
            return ((hidden + d).clamp(low, high) - hidden) * real

        drawn = torch.randn(hidden.shape, generator=generator).to(hidden) * real
        share = torch.rand(len(hidden), 1, 1, generator=generator).to(hidden)
        d = projected(drawn * (share * radius / _norm(drawn).clamp(min=1e-12)))
        for _ in range(self.steps):
            d.requires_grad_()
            with pushed(block, d, apart=True), torch.enable_grad():
                (slope,) = torch.autograd.grad(loss(batch.logits(model)), d)
            d = projected(d.detach() - radius / self.steps * slope / (_norm(slope) + 1e-6))
        return d


@contextmanager
def pushed(block: nn.Module, push: torch.Tensor, *, apart: bool = False) -> Iterator[None]:
    """Inside, the block's input is its own plus `push` (B, T, d); `apart` cuts it off from the weights before it."""

    def hook(
        _: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]
    ) -> tuple[tuple[object, ...], dict[str, object]]:
        own = args[0] if args else kwargs["hidden_states"]
        assert isinstance(own, torch.Tensor)
        moved = (own.detach() if apart else own) + push.to(own.dtype)
        return ((moved, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": moved})

    handle = block.register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


@dataclass(frozen=True)
class Recovery:
    """What the attack got out of each passage; (N,) each, NaN for a passage without a predicted secret.

    Attributes:
        nll, attacked_nll: mean nll of the secret tokens, nats, without and under the push.
        hits, attacked_hits: share of the secret tokens that are the model's first choice, likewise.
    """

    nll: torch.Tensor
    attacked_nll: torch.Tensor
    hits: torch.Tensor
    attacked_hits: torch.Tensor


def recovered(
    model: LanguageModel, rows: Sequence[Encoded], attack: LatentAttack, seed: int, size: int = 16
) -> Recovery:
    """Push each batch of passages towards its secrets, and score the secrets. Read it beside that of strangers.

    With enough freedom the push brings out text that the model never saw, so only the difference says something.
    """
    generator, parts = torch.Generator().manual_seed(seed), []
    with model.evaluating():
        for start in range(0, len(rows), size):
            batch = batch_of(model, rows[start : start + size], generator)
            push = attack.push(model, batch, secret_nll(batch), generator)
            with torch.no_grad():
                plain = _scored(batch, batch.logits(model))
                with pushed(attack.block(model), push):
                    parts.append([*plain, *_scored(batch, batch.logits(model))])
    nll, hits, attacked_nll, attacked_hits = (torch.cat(p) for p in zip(*parts, strict=True))
    return Recovery(nll, attacked_nll, hits, attacked_hits)


def secret_nll(batch: Batch) -> LogitLoss:
    """The mean nll of a batch's secret tokens, as a function of its logits."""
    return lambda logits: masked_mean(token_nll(logits, batch.labels), batch.secret)


def _scored(batch: Batch, logits: torch.Tensor) -> list[torch.Tensor]:
    """nll and hits of each passage, (B,) each."""
    count = batch.secret.sum(-1)
    right = logits.argmax(-1) == batch.labels
    values = (token_nll(logits, batch.labels), right.float())
    return [((value * batch.secret).sum(-1) / count).cpu() for value in values]


@torch.no_grad()
def _input_of(model: LanguageModel, block: nn.Module, batch: Batch) -> torch.Tensor:
    """(B, T, d) in fp32: what goes into the block."""
    with fed([block]) as seen:
        batch.logits(model)
    return seen[0].float()


def _norm(values: torch.Tensor) -> torch.Tensor:
    """L2 norm of each passage over positions and dimensions. (B, T, d) -> (B, 1, 1)."""
    norms: torch.Tensor = torch.linalg.vector_norm(values, dim=(1, 2), keepdim=True)
    return norms
