"""Low-rank adapters for the time of a tuning: small matrices learn, and in the end they are merged into the weights."""

from collections.abc import Callable

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from domain.errors import Code, UnlearningFailed
from unlearning.layers import every_block
from unlearning.models import LanguageModel


def adapt(method: str, model: LanguageModel, rank: int, seed: int) -> Callable[[], None]:
    """Put adapters on every Linear and Conv1D of the blocks, in place; the network's class stays. Returns the merge.

    LoRA (Hu et al. 2021, arXiv 2106.09685): W + (2r / r) B A with A (r, in) drawn by `seed` and B (out, r) zero, so
    that nothing changes before the first step; scaling 2, as is usual. Until the merge only A and B take gradients;
    after it every weight outside of the adapted matrices is bit by bit what it was. The blocks are found by structure.

    Raises `UnlearningFailed` (METHOD_INAPPLICABLE) when there is no block with such a matrix.
    """
    from peft import LoraConfig, LoraModel

    network = model.network
    learning = {name: p.requires_grad for name, p in network.named_parameters()}
    found, transposed = matrices(method, model)
    config = LoraConfig(
        r=rank, lora_alpha=2 * rank, target_modules=list(found), fan_in_fan_out=transposed
    )
    every = range(torch.cuda.device_count())
    with torch.random.fork_rng(every):  # peft draws A from the global state
        torch.manual_seed(seed)
        adapted = LoraModel(network, config, "default")
    adapted.eval()

    def merge() -> None:
        adapted.merge_and_unload()
        if hasattr(network, "peft_config"):
            del network.peft_config
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(learning[name])

    return merge


def matrices(method: str, model: LanguageModel) -> tuple[dict[str, nn.Module], bool]:
    """Every Linear and Conv1D of the blocks by name, and whether some have their weights as (in, out).

    Raises `UnlearningFailed` (METHOD_INAPPLICABLE) when there is none.
    """
    try:
        inside = {id(m) for block in every_block(model) for m in block.modules()}
    except ValueError:
        inside = set()
    found = {
        name: module
        for name, module in model.network.named_modules()
        if id(module) in inside and isinstance(module, nn.Linear | Conv1D)
    }
    if not found:
        raise UnlearningFailed(
            Code.METHOD_INAPPLICABLE,
            place=f"method {method}, option lora_rank",
            remedy="no linear layer was found in the model's blocks; set it to 0 to change all weights.",
        )
    return found, any(isinstance(m, Conv1D) for m in found.values())
