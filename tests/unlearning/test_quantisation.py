"""What is rounded when a model is asked in fewer bits."""

from dataclasses import replace

import pytest
import torch
from transformers import MixtralConfig, MixtralForCausalLM
from transformers.pytorch_utils import Conv1D

from domain.errors import Code, RequestRejected
from unlearning.attacks.quantisation import quantised
from unlearning.models import LanguageModel, copy_of


def test_experts_are_rounded_and_tables_routers_and_norms_are_not(untrained: LanguageModel) -> None:
    config = MixtralConfig(
        vocab_size=len(untrained.tokenizer),
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        num_local_experts=2,
    )
    with torch.random.fork_rng():
        model = replace(untrained, network=MixtralForCausalLM(config).eval())
    rounded = dict(quantised(model, 4, 8).network.named_parameters())
    moved = {n for n, p in model.network.named_parameters() if not torch.equal(p, rounded[n])}
    assert {n.split(".")[-1] for n in moved if "experts" in n} == {"gate_up_proj", "down_proj"}
    assert not [n for n in moved if "embed" in n or "norm" in n or "lm_head" in n or ".gate." in n]
    values = rounded["model.layers.0.mlp.experts.down_proj"].view(-1, 8)
    assert max(len(row.unique()) for row in values) <= 15  # one grid for each eight inputs


class OwnLayer(torch.nn.Module):
    """What a repository's own code may call a linear layer."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(weight)


def test_where_no_layer_can_be_rounded_nothing_is_said_of_fewer_bits(
    untrained: LanguageModel,
) -> None:
    model = copy_of(untrained)
    for parent in list(model.network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Conv1D):
                setattr(parent, name, OwnLayer(child.weight.detach()))
    with pytest.raises(RequestRejected) as rejected:
        quantised(model, 4, 32)
    assert rejected.value.code is Code.ATTACK_INAPPLICABLE
