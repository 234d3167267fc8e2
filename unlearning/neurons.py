"""Which feed-forward neurons carry a secret: integrated gradients with the midpoint rule, by structure of the modules.

A neuron is one input of a block's down-projection: the activation after the non-linearity (GPT-2, GPT-NeoX, BERT) or
after the gate (Llama). Its outgoing weights are a row of a Conv1D or a column of a Linear.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from transformers import DynamicCache
from transformers.pytorch_utils import Conv1D

from domain.errors import Code, UnlearningFailed
from domain.outcomes import Edit, Layer
from unlearning.encoding import Encoded
from unlearning.generation import repeated, shared_cache
from unlearning.layers import blocks, fed
from unlearning.models import Kind, LanguageModel, tokens_per_batch
from unlearning.unlearned import digest_of


def down_projections(model: LanguageModel) -> list[nn.Module]:
    """The last projection of each block's feed-forward part, in order of the blocks; causal and masked models.

    Found by shape: inside the longest list of blocks, the projection that is wider on its input than the model and as
    wide as the model on its output. Raises `UnlearningFailed` when a block has none.
    """
    width = model.network.get_input_embeddings().embedding_dim
    lists = [m for m in model.network.modules() if isinstance(m, nn.ModuleList)]
    found: list[nn.Module] = []
    asked = model.kind in {Kind.CAUSAL, Kind.MASKED}
    for block in max(lists, key=len) if lists and asked else ():
        fitting = [m for m in block.modules() if _widths(m)[1] == width and _widths(m)[0] > width]
        if not fitting:
            found = []
            break
        found.append(fitting[-1])
    if not found:
        raise UnlearningFailed(
            Code.METHOD_INAPPLICABLE,
            place="the model's feed-forward layers",
            remedy="no down-projection was found by shape; neuron methods are for causal and masked models; "
            "order another method.",
        )
    return found


def feed_forward(model: LanguageModel) -> list[list[str]]:
    """The names of the matrices of each block's feed-forward part: its down-projection, and what its neurons come from.

    Found by shape as in `down_projections`: from the model's width to the number of neurons. Raises `UnlearningFailed`.
    """
    width = model.network.get_input_embeddings().embedding_dim
    found = []
    for down, block in zip(down_projections(model), blocks(model), strict=True):
        neurons, inside = _widths(down)[0], {id(m) for m in block.modules()}
        found.append(
            [
                name
                for name, module in model.network.named_modules()
                if module is down or (id(module) in inside and _widths(module) == (width, neurons))
            ]
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


COMPLETE = 0.01
"""A layer's scores must add up to its effect within this share of the mean effect of the layers."""
DOUBLINGS = 5
"""How often the points are doubled for a layer that does not add up yet."""


@dataclass(frozen=True)
class Attribution:
    """Scores (layers, neurons) of one secret, in probability; and how far their sum is from the effect they explain.

    `gap` is the mean over tokens and layers of |sum of scores - (p - p with the layer's activations at zero)|, divided
    by the mean of |p - p at zero|: 0 is exact (completeness, Sundararajan et al. 2017). It took so many
    `backward_passes`.
    """

    scores: torch.Tensor
    gap: float
    backward_passes: int


def attribute(
    model: LanguageModel, row: Encoded, start: int, end: int, steps: int = 20
) -> Attribution:
    """Integrated gradients of the probability of sensitive tokens in `start:end`, summed over them (Wu et al. 2023).

    For token t the activations at the position that predicts it move from zero to their value, one layer at a time, at
    the midpoints (i + 1/2) / steps. What a model knows by heart comes on within a few hundredths of that way, mostly in
    the first layers, and `steps` evenly spaced points miss it; so the points of a layer are doubled until its scores
    add up to its effect. Earlier positions do not change, so for a causal model the prefix comes from one cached pass
    and only a single position is run, for many layers and points at once.
    """
    modules = down_projections(model)
    scores, errors, effects = torch.zeros(len(modules), outgoing(modules[0]).shape[0]), 0.0, 0.0
    passes = 0
    with model.evaluating():
        for t in (t for t in range(start, end) if row.sensitive[t]):
            question = _Question(model, row, t, end)
            one, effect = _token(model, modules, question, steps)
            scores += one
            errors += float((one.sum(-1) - effect).abs().sum())
            effects += float(effect.abs().sum())
            passes += question.backward_passes
    return Attribution(scores, errors / max(effects, 1e-12), passes)


def mass(found: Sequence[Attribution]) -> list[float]:
    """Share of the positive score that lies in each layer."""
    total = torch.stack([a.scores.clamp(min=0).sum(-1) for a in found]).sum(0)
    return [float(share) for share in total / total.sum().clamp(min=1e-12)]


def edit_of(
    model: LanguageModel, edited: Iterable[tuple[int, int]], found: Sequence[Attribution] = ()
) -> tuple[Edit, str]:
    """How many neurons (block, number) of each block were edited, and the SHA-256 over which they are.

    `found` is what was attributed to choose them by, where it was: it gives the masses.
    """
    neurons = sorted(edited)
    counts = Counter(layer for layer, _ in neurons)
    sizes = [len(outgoing(module)) for module in down_projections(model)]
    shares = mass(found) if found else [None] * len(sizes)
    layers = (
        Layer(share, counts[n], size)
        for n, (share, size) in enumerate(zip(shares, sizes, strict=True))
    )
    edit = Edit("neurons", tuple(layers), max((a.gap for a in found), default=None))
    return edit, digest_of(f"{layer}:{neuron}" for layer, neuron in neurons)


class _Question:
    """What is p(token t)? Asked as the attacks ask: for a masked model the rest of the secret is hidden as well.

    `at` is the position, within what is run, whose activations are moved; `most` is how many copies fit in memory.
    """

    def __init__(self, model: LanguageModel, row: Encoded, t: int, end: int) -> None:
        self.model, self.label, self.backward_passes = model, row.ids[t], 0
        self.position = t if model.masked else t - 1
        self.at = self.position if model.masked else 0
        ids = torch.tensor(row.ids)
        if model.masked:
            ids[t:end] = model.tokenizer.mask_token_id
        self.ids = ids[None].to(model.device)
        self.cache: DynamicCache | None = None
        if not model.masked and self.position > 0:
            with torch.no_grad():
                self.cache = shared_cache(model, row.ids[: self.position])[0]
        length = len(row) if model.masked else self.position + 1
        self.most = max(16, tokens_per_batch(model) // length)

    def ask(self, rows: int) -> torch.Tensor:
        """p(token t) of each of `rows` identical copies, (rows,)."""
        if self.model.masked:
            logits = self.model.network(input_ids=self.ids.expand(rows, -1)).logits
        else:
            past = None if self.cache is None else repeated(self.cache, rows, self.position)
            logits = self.model.network(
                input_ids=self.ids[:, self.position, None].expand(rows, -1),
                past_key_values=past,
                position_ids=self.ids.new_full((rows, 1), self.position),
                use_cache=past is not None,
            ).logits
        p: torch.Tensor = logits[:, self.at].float().softmax(-1)[:, self.label]
        return p


def _token(
    model: LanguageModel, modules: list[nn.Module], question: _Question, steps: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """(scores (L, F), the effect p - p_zero of each layer (L,)) of one token."""
    every = torch.arange(len(modules), device=model.device)
    with torch.no_grad():
        with fed(modules, lambda x: x[:, question.at].detach()) as seen:  # (B, F) each
            whole = question.ask(1)
        values = torch.stack([value[0] for value in seen]).float()  # (L, F)
        with _replaced(modules, question.at, every, torch.zeros_like(values)):
            effect = whole - question.ask(len(modules))
    scores, undone = torch.zeros_like(values), every
    for doubled in range(DOUBLINGS + 1):
        slopes = [_slope(modules, question, values, int(i), steps << doubled) for i in undone]
        scores[undone] = values[undone] * torch.stack(slopes)
        error = (scores.sum(-1) - effect).abs()
        undone = every[error > COMPLETE * effect.abs().mean()]
        if not len(undone):
            break
    return scores.cpu(), effect.cpu()


def _slope(
    modules: list[nn.Module], question: _Question, values: torch.Tensor, layer: int, points: int
) -> torch.Tensor:
    """Mean gradient (F,) of p along the way of one layer, by the midpoint rule."""
    total = torch.zeros_like(values[layer])
    scale = (torch.arange(points, device=values.device) + 0.5) / points
    for part in torch.split(scale, question.most):
        moved = (part[:, None] * values[layer]).requires_grad_()  # (points, F)
        with _replaced(modules, question.at, torch.full((len(part),), layer), moved):
            p = question.ask(len(part))
        total += torch.autograd.grad(p.sum(), moved)[0].sum(0)
        question.backward_passes += 1
    return total / points


@contextmanager
def _replaced(
    modules: list[nn.Module], position: int, layers: torch.Tensor, moved: torch.Tensor
) -> Iterator[None]:
    """Row r of the batch has the input of layer `layers[r]` at one position replaced by `moved[r]`, (R, F)."""

    def hook(layer: int) -> Callable[..., tuple[torch.Tensor, ...]]:
        rows = (layers == layer).nonzero().flatten().to(moved.device)

        def replace(_: nn.Module, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
            inputs = args[0].clone()
            inputs[rows, position] = moved[rows].to(inputs.dtype)
            return (inputs, *args[1:])

        return replace

    handles = [modules[i].register_forward_pre_hook(hook(i)) for i in set(layers.tolist())]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
