"""What shards have learnt, as files, and a base with the exact mean of their deltas: W + (1/K) sum of D_k.

D_k is (alpha / r) B_k A_k of an adapter, or W_k - W of a shard that has learnt all weights. A shard is taken out by
adding up the others again. It is never subtracted: what floating point leaves behind would be a function of the shard
that had to go. Sums are in double precision on the CPU, so that they round the same anywhere.
An adapter's files are those of peft, which reads them; peft's own ways to combine them have traps (see the tests).
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn
from transformers.pytorch_utils import Conv1D

from domain.errors import Code, UnlearningFailed
from unlearning.models import LanguageModel, copy_of

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
WHOLE = "weights.safetensors"
LEARNT = (CONFIG, WEIGHTS, WHOLE)
"""Of a shard's files those that hold what it has learnt: an adapter's two, or the one with all weights."""
_PREFIX, _A, _B = "base_model.model.", ".lora_A.weight", ".lora_B.weight"
_PLAIN: Mapping[str, Any] = {
    "peft_type": "LORA",
    "use_rslora": False,
    "use_dora": False,
    "lora_bias": False,
    "bias": "none",
    "modules_to_save": None,
    "rank_pattern": {},
    "alpha_pattern": {},
    "use_qalora": False,
    "use_bdlora": None,
    "kasa_config": None,
    "arrow_config": None,
    "alora_invocation_tokens": None,
    "layer_replication": None,
    "target_parameters": None,
    "trainable_token_indices": None,
}
"""What an adapter must be so that (alpha / r) B A is all it does."""


@dataclass(frozen=True)
class Adapter:
    """Low-rank matrices by the name of the matrix they change: A (r, in), B (out, r)."""

    scale: float
    parts: Mapping[str, tuple[torch.Tensor, torch.Tensor]]

    @property
    def names(self) -> frozenset[str]:
        return frozenset(f"{name}.weight" for name in self.parts)

    def delta(self, name: str, base: LanguageModel, count: int) -> torch.Tensor:
        """The share of a parameter's change, one of `count`, in its layout and double precision."""
        module = name.removesuffix(".weight")
        a, b = self.parts[module]
        change = self.scale / count * (b.double() @ a.double())
        return change.T if isinstance(base.network.get_submodule(module), Conv1D) else change


@dataclass(frozen=True)
class Whole:
    """All weights that a shard has learnt, by their names; what is tied stands once."""

    weights: Mapping[str, torch.Tensor]

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self.weights)

    def delta(self, name: str, base: LanguageModel, count: int) -> torch.Tensor:
        """As `Adapter.delta`."""
        own = base.network.get_parameter(name).detach().cpu().double()
        change: torch.Tensor = (self.weights[name].double() - own) / count
        return change


def part(files: Mapping[str, bytes]) -> Adapter | Whole:
    """What a shard has learnt, from its files; those of its training beside them do not matter.

    Raises `UnlearningFailed` (METHOD_INAPPLICABLE) as `adapter`.
    """
    if WHOLE not in files:
        return adapter(files)
    try:
        return Whole(safetensors.torch.load(files[WHOLE]))
    except SafetensorError:
        raise UnlearningFailed(
            Code.METHOD_INAPPLICABLE,
            place=f"the weights of a shard, {WHOLE}",
            remedy="they cannot be read; train the shards with `train`.",
        ) from None


def learnt(digests: Mapping[str, str]) -> str:
    """Of the digests of a shard's files, that of what it has learnt."""
    return digests[WHOLE if WHOLE in digests else WEIGHTS]


def adapter(files: Mapping[str, bytes]) -> Adapter:
    """Read an adapter from its two files.

    Raises `UnlearningFailed` (METHOD_INAPPLICABLE) when it cannot be read, or does more than adding (alpha / r) B A.
    """
    try:
        config = json.loads(files[CONFIG])
        tensors = safetensors.torch.load(files[WEIGHTS])
        other = [name for name, value in _PLAIN.items() if config.get(name, value) != value]
        names = [name.removesuffix(_A) for name in tensors if name.endswith(_A)]
        parts = {
            name.removeprefix(_PREFIX): (tensors.pop(name + _A), tensors.pop(name + _B))
            for name in names
        }
        scale = config["lora_alpha"] / config["r"]
    except (ValueError, KeyError, TypeError, AttributeError, SafetensorError):
        other, tensors, parts, scale = [], {"": torch.empty(0)}, {}, 0.0
    if other or tensors or not parts:
        raise UnlearningFailed(
            Code.METHOD_INAPPLICABLE,
            place=f"the adapter of a shard{', ' + other[0] if other else ''}",
            remedy="only a plain LoRA adapter can be added up exactly; train the shards with `train`.",
        )
    return Adapter(scale, parts)


def written(config: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> dict[str, bytes]:
    """The two files of an adapter, the same bytes for the same adapter.

    Args:
        config: as `peft.LoraConfig.to_dict`.
        tensors: A and B by the names they have in the adapted network.
    """
    kept = {
        name: sorted(value) if isinstance(value, set | frozenset) else value
        for name, value in config.items()
        if name != "base_model_name_or_path"  # a path of this machine
    }
    return {
        CONFIG: (json.dumps(kept, indent=1, sort_keys=True, default=str) + "\n").encode(),
        WEIGHTS: saved({_PREFIX + n.replace(".default", ""): t for n, t in tensors.items()}),
    }


def saved(tensors: Mapping[str, torch.Tensor]) -> bytes:
    """Tensors as safetensors, sorted by name."""
    plain = {name: tensors[name].detach().cpu().contiguous() for name in sorted(tensors)}
    content: bytes = safetensors.torch.save(plain, {"format": "pt"})
    return content


@torch.no_grad()
def combined(base: LanguageModel, parts: Sequence[Adapter | Whole]) -> LanguageModel:
    """A copy of the base with the mean of the parts' deltas; the base as it is when there is none.

    Raises `UnlearningFailed` (METHOD_INAPPLICABLE) when a part does not fit the base.
    """
    after = copy_of(base)
    try:
        for name in sorted({name for one in parts for name in one.names}):
            weight = after.network.get_parameter(name)
            mean = torch.zeros(())  # in the order of the shards
            for one in parts:
                mean = mean + one.delta(name, base, len(parts))
            weight.copy_((weight.cpu().double() + mean).to(weight.dtype))
    except (AttributeError, KeyError, RuntimeError):
        raise UnlearningFailed(
            Code.METHOD_INAPPLICABLE,
            place="what a shard has learnt",
            remedy="it does not fit the base; name the base that the manifest was made with.",
        ) from None
    return after


def weights_sha256(network: nn.Module) -> str:
    """SHA-256 over names, shapes, types and bytes of all weights, sorted by name: wherever and however they lie."""
    found = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        plain = tensor.detach().cpu().contiguous()
        found.update(f"{name} {list(plain.shape)} {plain.dtype}\n".encode())
        found.update(plain.view(torch.uint8).numpy() if plain.dim() else plain.numpy().tobytes())
    return found.hexdigest()
