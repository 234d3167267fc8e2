"""Which feed-forward neurons carry a secret: integrated gradients with the midpoint rule, by structure of the modules.

A neuron is one input of a block's down-projection: the activation after the non-linearity (GPT-2, GPT-NeoX, BERT) or
after the gate (Llama). Its outgoing weights are a row of a Conv1D or a column of a Linear.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from domain.errors import Code, UnlearningFailed
from unlearning.encoding import Encoded
from unlearning.generation import repeated, shared_cache
from unlearning.models import LanguageModel


def down_projections(model: LanguageModel) -> list[nn.Module]:
    """The last projection of each block's feed-forward part, in order of the blocks.

    Found by shape: inside the longest list of blocks, the projection that is wider on its input than the model and as
    wide as the model on its output. Raises `UnlearningFailed` when a block has none.
    """
    width = model.network.get_input_embeddings().embedding_dim
    lists = [m for m in model.network.modules() if isinstance(m, nn.ModuleList)]
    found: list[nn.Module] = []
    for block in max(lists, key=len, default=nn.ModuleList()):
        fitting = [m for m in block.modules() if _widths(m)[1] == width and _widths(m)[0] > width]
        if not fitting:
            found = []
            break
        found.append(fitting[-1])
    if not found:
        raise UnlearningFailed(
            Code.METHOD_INAPPLICABLE,
            place="the model's feed-forward layers",
            remedy="no down-projection was found by shape; neuron methods do not apply to this architecture.",
        )
    return found


def _widths(module: nn.Module) -> tuple[int, int]:
    if isinstance(module, Conv1D):
        return module.weight.shape[0], module.weight.shape[1]
    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features
    return 0, 0


def outgoing(module: nn.Module) -> torch.Tensor:
    """The weights as (neurons, width), a view: changing it changes the module."""
    weight: torch.Tensor = module.weight  # type: ignore[assignment]
    return weight.data if isinstance(module, Conv1D) else weight.data.T


@dataclass(frozen=True)
class Attribution:
    """Scores (layers, neurons) of one secret, in probability; and how far their sum is from the effect they explain.

    `gap` is the mean over tokens and layers of |sum of scores - (p - p with the layer's activations at zero)|, divided
    by the mean of |p - p at zero|: 0 is exact (completeness, Sundararajan et al. 2017).
    """

    scores: torch.Tensor
    gap: float


def attribute(
    model: LanguageModel, row: Encoded, start: int, end: int, steps: int = 20
) -> Attribution:
    """Integrated gradients of the probability of tokens `start:end`, summed over the tokens (Wu et al. 2023).

    For token t the activations at the position that predicts it move from zero to their value, one layer at a time, at
    the midpoints (i + 1/2) / steps. Earlier positions do not change, so for a causal model the prefix comes from one
    cached pass and only a single position is run, for all layers and steps at once.
    """
    modules = down_projections(model)
    scores, errors, effects = torch.zeros(len(modules), outgoing(modules[0]).shape[0]), 0.0, 0.0
    for t in range(start, end):
        one, explained, effect = _token(model, modules, row, t, end, steps)
        scores += one
        errors += float((one.sum(-1) - explained).abs().sum())
        effects += float(effect.abs().sum())
    return Attribution(scores, errors / max(effects, 1e-12))


def _token(  # noqa: PLR0917
    model: LanguageModel, modules: list[nn.Module], row: Encoded, t: int, end: int, steps: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(scores (L, F), p - p_zero per layer (L,), the same) of token t."""
    layers, points = len(modules), [(i + 0.5) / steps for i in range(steps)]
    position = t if model.masked else t - 1

    def run(rows: int) -> torch.Tensor:
        """p(token t) of each of `rows` identical copies, (rows,)."""
        if model.masked:
            ids = torch.tensor(row.ids).repeat(rows, 1)
            ids[:, t:end] = model.tokenizer.mask_token_id
            logits = model.network(input_ids=ids.to(model.device)).logits[:, t]
        else:
            last = torch.full((rows, 1), row.ids[position], device=model.device)
            past = None if cache is None else repeated(cache, rows, position)
            places = torch.full((rows, 1), position, device=model.device)
            logits = model.network(
                input_ids=last,
                past_key_values=past,
                position_ids=places,
                use_cache=past is not None,
            ).logits[:, -1]
        p: torch.Tensor = logits.float().softmax(-1)[:, row.ids[t]]
        return p

    at = position if model.masked else 0
    with torch.no_grad():
        cache = (
            None if model.masked or position == 0 else shared_cache(model, row.ids[:position])[0]
        )
        with _recorded(modules, at) as seen:
            whole = run(1)
    values = torch.stack([value[0] for value in seen]).to(model.device)  # (L, F)
    scale = torch.tensor([*points, 0.0], device=model.device)
    moved = (scale[None, :, None] * values[:, None, :]).requires_grad_()  # (L, steps + 1, F)
    with _replaced(modules, at, moved):
        p = run(layers * len(scale)).view(layers, len(scale))
    (slope,) = torch.autograd.grad(p[:, :-1].sum(), moved)
    scores = (values * slope[:, :-1].mean(1)).detach().cpu()
    effect = (whole - p[:, -1]).detach().cpu()
    return scores, effect, effect


@contextmanager
def _recorded(modules: list[nn.Module], position: int) -> Iterator[list[torch.Tensor]]:
    """Collect each module's input at one position, (batch, F) per layer."""
    seen: list[torch.Tensor] = []
    handles = [
        m.register_forward_pre_hook(lambda _, args: seen.append(args[0][:, position].detach()))
        for m in modules
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _replaced(modules: list[nn.Module], position: int, moved: torch.Tensor) -> Iterator[None]:
    """Rows l * S ... of the batch have layer l's input at one position replaced by `moved[l]`, (L, S, F)."""
    size = moved.shape[1]

    def hook(layer: int) -> object:
        def replace(_: nn.Module, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
            inputs = args[0].clone()
            inputs[layer * size : (layer + 1) * size, position] = moved[layer].to(inputs.dtype)
            return (inputs, *args[1:])

        return replace

    handles = [m.register_forward_pre_hook(hook(i)) for i, m in enumerate(modules)]  # type: ignore[arg-type]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
