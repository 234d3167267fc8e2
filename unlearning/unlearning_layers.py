"""Unlearning layers: a linear map behind each feed-forward block, learnt while all else is frozen, then folded away.

After EUL (Chen & Yang 2023, EMNLP), whose layers are bottleneck adapters that stay in the model. Here a layer is
linear, y -> y + y W with W (d, d) zero at the start: it folds exactly into the matrix before it, A (I + W) and
b (I + W), so that what is deployed is an ordinary model again; and it is the form for which fusion
(`unlearning.fusion`) is exact.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from domain.errors import Code, UnlearningFailed
from unlearning.batches import batch_of
from unlearning.encoding import Encoded
from unlearning.layers import blocks, every_block
from unlearning.models import LanguageModel
from unlearning.unlearned import seeded

Matrix: TypeAlias = nn.Linear | Conv1D


def outputs(method: str, model: LanguageModel) -> list[Matrix]:
    """The last matrix of every feed-forward block, in order; the encoder's first where there are both.

    Found by shape: in each block the last projection that is wider on its input than the model and as wide as the model
    on its output. Raises `UnlearningFailed` (METHOD_INAPPLICABLE) when there is no block, or one of them has none.
    """
    width = model.network.get_input_embeddings().embedding_dim
    try:
        found = [
            [
                m
                for m in block.modules()
                if isinstance(m, Matrix) and _widths(m)[1] == width < _widths(m)[0]
            ]
            for block in every_block(model)
        ]
    except ValueError:
        found = []
    if not found or not all(found):
        raise UnlearningFailed(
            Code.METHOD_INAPPLICABLE,
            place=f"method {method}, the model's feed-forward blocks",
            remedy="their last matrix was not found by shape; the method does not apply to this architecture.",
        )
    return [matrices[-1] for matrices in found]


def _widths(matrix: Matrix) -> tuple[int, int]:
    """What goes in and what comes out."""
    first, second = matrix.weight.shape
    return (first, second) if isinstance(matrix, Conv1D) else (second, first)


@dataclass(frozen=True)
class Layers:
    """The layers of one model while they learn. Each is W itself, or the product of (d, r) and (r, d)."""

    modules: Sequence[Matrix]
    factors: Sequence[Sequence[nn.Parameter]]
    remove: Callable[[], None]

    def weights(self) -> list[torch.Tensor]:
        """W (d, d) of each layer, copies."""
        return [_product(factors).detach().clone() for factors in self.factors]

    def fold(self) -> None:
        """Put the layers into the matrices before them and take them off; what learnt before learns again."""
        weights = self.weights()
        self.remove()
        fold(self.modules, weights)


def insert(method: str, model: LanguageModel, rank: int, seed: int) -> Layers:
    """Freeze the model and put a layer behind each feed-forward block, in place; nothing it says changes yet.

    With `rank` 0 a layer is a full (d, d) matrix; above it, the product of (d, rank), drawn by `seed`, and (rank, d),
    zero. Raises `UnlearningFailed` as `outputs`.
    """
    network, modules, generator = model.network, outputs(method, model), seeded(seed)
    learning = [(p, p.requires_grad) for p in network.parameters()]
    network.requires_grad_(False)
    handles, layers = [], []
    for module in modules:
        width, device = _widths(module)[1], module.weight.device
        shapes = [(width, rank), (rank, width)] if rank else [(width, width)]
        factors = [nn.Parameter(torch.zeros(shape, device=device)) for shape in shapes]
        if rank:
            drawn = torch.randn(width, rank, generator=generator) / width**0.5
            factors[0].data.copy_(drawn)
        for number, factor in enumerate(factors):
            module.register_parameter(f"unlearning_{number}", factor)
        handles.append(module.register_forward_hook(_behind(factors)))
        layers.append(factors)

    def remove() -> None:
        for module, factors, handle in zip(modules, layers, handles, strict=True):
            handle.remove()
            for number in range(len(factors)):
                delattr(module, f"unlearning_{number}")
        for parameter, learnt in learning:
            parameter.requires_grad_(learnt)

    return Layers(modules, layers, remove)


def _behind(
    factors: Sequence[torch.Tensor],
) -> Callable[[nn.Module, object, torch.Tensor], torch.Tensor]:
    def hook(_: nn.Module, __: object, out: torch.Tensor) -> torch.Tensor:
        moved = out
        for factor in factors:
            moved = moved @ factor.to(moved.dtype)
        return out + moved

    return hook


def _product(factors: Sequence[torch.Tensor]) -> torch.Tensor:
    return factors[0] if len(factors) == 1 else factors[0] @ factors[1]


@torch.no_grad()
def fold(modules: Sequence[Matrix], weights: Sequence[torch.Tensor]) -> None:
    """Fold layers W (d, d) into the matrices before them, in place: x A + b becomes (x A + b)(I + W)."""
    for module, weight in zip(modules, weights, strict=True):
        whole = weight.double() + torch.eye(len(weight), dtype=torch.float64, device=weight.device)
        matrix = module.weight.double()
        folded = matrix @ whole if isinstance(module, Conv1D) else whole.T @ matrix
        module.weight.copy_(folded)
        if module.bias is not None:
            module.bias.copy_(module.bias.double() @ whole)


@torch.no_grad()
def grams(
    modules: Sequence[Matrix], model: LanguageModel, rows: Sequence[Encoded], size: int = 16
) -> list[torch.Tensor]:
    """X'X (d, d) of what goes into each layer over all tokens of the rows, in float64, not divided by their number.

    Second moments of what a model makes of a person's text are personal data: they stay in memory, or go to the vault,
    never into evidence. `model` has the modules; its layers, where there are any, are at work in the blocks before.
    """
    seen = [
        torch.zeros(_widths(m)[1], _widths(m)[1], dtype=torch.float64, device=m.weight.device)
        for m in modules
    ]
    encoders = len(modules) - len(blocks(model))
    real: list[torch.Tensor] = []  # which tokens are no padding, for encoder and decoder

    def watch(number: int) -> Callable[[nn.Module, object, torch.Tensor], None]:
        def hook(_: nn.Module, __: object, out: torch.Tensor) -> None:
            states = out[real[number >= encoders].bool()].double()  # (tokens, d)
            seen[number].add_(states.T @ states)

        return hook

    handles = [m.register_forward_hook(watch(n), prepend=True) for n, m in enumerate(modules)]
    try:
        for first in range(0, len(rows), size):
            batch = batch_of(model, rows[first : first + size], seeded(0))
            read = batch.attention if batch.source_attention is None else batch.source_attention
            real[:] = [read, batch.attention]
            batch.logits(model)
    finally:
        for handle in handles:
            handle.remove()
    return seen
