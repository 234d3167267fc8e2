"""What a piece of work costs: seconds, tokens through backward passes, peak memory of the GPU."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any

import torch
from torch.nn.modules.module import register_module_forward_hook
from transformers import PreTrainedModel


@dataclass
class Cost:
    """Filled in when the work is done.

    Attributes:
        seconds: of wall clock, with all that was queued on the GPU.
        tokens: of texts through whose logits a gradient went, each time it did; padding does not count.
        peak_bytes: most that was allocated on the GPU beside what lay there before; None on a CPU.
    """

    seconds: float = 0.0
    tokens: int = 0
    peak_bytes: int | None = None


@contextmanager
def metered() -> Iterator[Cost]:
    """Measure the work in the block."""
    cost, read = Cost(), list[torch.Tensor]()

    def watch(module: object, _: object, given: Mapping[str, Any], output: Any) -> None:
        logits = getattr(output, "logits", None)
        if isinstance(module, PreTrainedModel) and logits is not None and logits.requires_grad:
            real = given.get("attention_mask", torch.ones_like(given["input_ids"])).sum()
            logits.register_hook(lambda _: read.append(real))

    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated() if cuda else 0
    started = monotonic()
    handle = register_module_forward_hook(watch, with_kwargs=True)
    try:
        yield cost
    finally:
        handle.remove()
    if cuda:
        torch.cuda.synchronize()
        cost.peak_bytes = torch.cuda.max_memory_allocated() - before
    cost.seconds = monotonic() - started
    cost.tokens = sum(int(tokens) for tokens in read)
