"""The residual stream of a causal model, by structure: its blocks, its last norm, its head."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import cast

import torch
from torch import nn

from unlearning.models import Kind, LanguageModel


def blocks(model: LanguageModel) -> list[nn.Module]:
    """The blocks in order: the longest list of modules; of a seq2seq model, its decoder's, which say the answer.

    Raises `ValueError` when there is none.
    """
    return _longest(model.network.get_decoder() if model.kind is Kind.SEQ2SEQ else model.network)


def every_block(model: LanguageModel) -> list[nn.Module]:
    """`blocks`, and those of the encoder of a seq2seq model. Raises `ValueError` when there is none."""
    two_sided = model.kind is Kind.SEQ2SEQ
    return [*(_longest(model.network.get_encoder()) if two_sided else ()), *blocks(model)]


def _longest(network: nn.Module) -> list[nn.Module]:
    """The longest list that lies in no other: a T5 block is a list of three parts itself."""
    lists = [m for m in network.modules() if isinstance(m, nn.ModuleList)]
    inner = {id(m) for blocks in lists for block in blocks for m in block.modules()}
    longest = max((m for m in lists if id(m) not in inner), key=len, default=nn.ModuleList())
    if not len(longest):
        raise ValueError("no list of blocks")
    return list(longest)


def final_norm(model: LanguageModel) -> nn.Module:
    """The norm between the last block and the head: outside of the blocks, one weight as wide as the model.

    Raises `ValueError` when there is none.
    """
    width = model.network.get_input_embeddings().embedding_dim
    inside = {id(m) for block in blocks(model) for m in block.modules()}
    found = [
        m
        for m in model.network.modules()
        if id(m) not in inside
        and isinstance(weight := getattr(m, "weight", None), torch.Tensor)
        and weight.shape == (width,)
    ]
    if not found:
        raise ValueError("no final norm")
    last: nn.Module = found[-1]
    return last


@torch.no_grad()
def gain(norm: nn.Module) -> torch.Tensor:
    """(d,) what a norm multiplies each place by: its weight or, where that is the distance from 1 (Gemma), one more."""
    weight: torch.Tensor = norm.weight.detach()  # type: ignore[operator]  # modules are untyped
    signs = torch.ones_like(weight)
    signs[1::2] = -1  # of mean 0 and square mean 1: a norm leaves it as it is
    bias = getattr(norm, "bias", None)
    measured = signs * (norm(signs) - (0 if bias is None else bias))
    return weight if torch.allclose(measured, weight, atol=0.5) else measured


@contextmanager
def recorded(modules: Sequence[nn.Module]) -> Iterator[list[torch.Tensor]]:
    """Collect what each module puts out, (B, T, d) each, in order."""
    seen: list[torch.Tensor] = []
    handles = [
        m.register_forward_hook(lambda _, __, out: seen.append(_hidden(out))) for m in modules
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def fed(
    modules: Sequence[nn.Module], keep: Callable[[torch.Tensor], torch.Tensor] = torch.detach
) -> Iterator[list[torch.Tensor]]:
    """Collect what goes into each module, (B, T, d) each or what `keep` makes of it, in order."""
    seen: list[torch.Tensor] = []

    def hook(_: nn.Module, args: tuple[torch.Tensor, ...], named: dict[str, torch.Tensor]) -> None:
        seen.append(keep(args[0] if args else named["hidden_states"]))

    handles = [m.register_forward_pre_hook(hook, with_kwargs=True) for m in modules]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def patched(module: nn.Module, places: torch.Tensor, values: torch.Tensor) -> Iterator[None]:
    """What the module puts out is `values` (B, T, d) wherever `places` (B, T) is true."""

    def hook(_: nn.Module, __: object, out: object) -> object:
        own = _hidden(out)
        mixed = torch.where(places[..., None], values.to(own), own)
        return (mixed, *out[1:]) if isinstance(out, tuple) else mixed

    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def _hidden(out: object) -> torch.Tensor:
    return cast("torch.Tensor", out[0] if isinstance(out, tuple) else out)
