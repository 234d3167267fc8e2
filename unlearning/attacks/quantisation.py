"""Do the secrets come back when the weights are rounded? Every precision that is served has to be asked."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers.pytorch_utils import Conv1D

from domain.errors import Code, RequestRejected
from domain.outcomes import AttackResult, Score
from unlearning.attacks.asking import require_text
from unlearning.attacks.changed import asked_again
from unlearning.attacks.groups import require_groups
from unlearning.encoding import Encoded
from unlearning.models import LanguageModel, copy_of
from unlearning.scoring import Target


@dataclass(frozen=True)
class Quantisation:
    """Round-to-nearest weights, symmetric, with one scale for each group of inputs; 8 and 4 bits by default.

    Zhang et al. 2025 (arXiv 2410.16454): methods that change weights little keep 21 % of what they forgot in full
    precision and 83 % in 4 bits, because rounding undoes small changes. Linear layers and experts are rounded,
    embeddings, routers and the output head are not, as the usual 4-bit formats have it. The scores of all precisions
    share the 5 %.

    Attributes:
        bits: the precisions that are served.
        group: weights that share a scale, along the inputs.
    """

    bits: tuple[int, ...] = (8, 4)
    group: int = 32

    def __post_init__(self) -> None:
        if min(self.bits, default=0) < 2 or self.group < 1:
            raise ValueError(
                "every precision needs at least 2 bits, and a scale at least one weight"
            )

    def run(
        self, target: Target, members: Sequence[Encoded], controls: Sequence[Encoded]
    ) -> AttackResult:
        """What is given away in each precision."""
        require_groups(members, controls)
        require_text(target.model, "quantisation")
        scores: list[Score] = []
        with target.model.evaluating():
            for bits in self.bits:
                rounded = quantised(target.model, bits, self.group)
                tail = 0.05 / len(self.bits)
                scores += asked_again(rounded, members, controls, f"at_{bits}_bits", tail)
        return AttackResult("quantisation", tuple(scores))


@torch.no_grad()
def quantised(model: LanguageModel, bits: int, group: int) -> LanguageModel:
    """A copy whose linear layers and experts hold rounded weights. Raises `RequestRejected` where there are none."""
    changed = copy_of(model)
    head = changed.network.get_output_embeddings()
    layers = 0
    for module in changed.network.modules():
        if module is head or not isinstance(module, torch.nn.Linear | Conv1D):
            layers += _round_experts(module, bits, group)
            continue
        weight = module.weight
        inputs_last = weight.T if isinstance(module, Conv1D) else weight  # Conv1D keeps (in, out)
        rounded = round_to_nearest(inputs_last, bits, group)
        weight.copy_(rounded.T if isinstance(module, Conv1D) else rounded)
        layers += 1
    if not layers:
        raise RequestRejected(
            Code.ATTACK_INAPPLICABLE,
            place="attack quantisation",
            remedy="the model's layers are of a sort that it cannot round; measure the model as it is served.",
        )
    return changed


def _round_experts(module: torch.nn.Module, bits: int, group: int) -> int:
    """The experts of one layer, which lie in one tensor (experts, outputs, inputs). How many tensors there were."""
    if isinstance(module, torch.nn.Conv1d):
        return 0
    experts = [weight for weight in module.parameters(recurse=False) if weight.dim() == 3]
    for weight in experts:
        weight.copy_(round_to_nearest(weight.flatten(0, 1), bits, group).view_as(weight))
    return len(experts)


def round_to_nearest(weight: torch.Tensor, bits: int, group: int) -> torch.Tensor:
    """weight (out, in) on the grid {-(2^(b-1) - 1) .. 2^(b-1) - 1} * scale, one scale per `group` inputs."""
    rows, columns = weight.shape
    most = 2 ** (bits - 1) - 1
    padded = torch.nn.functional.pad(weight, (0, -columns % group)).view(rows, -1, group)
    scale = padded.abs().amax(-1, keepdim=True).clamp(min=1e-12) / most
    rounded: torch.Tensor = ((padded / scale).round() * scale).view(rows, -1)[:, :columns]
    return rounded
