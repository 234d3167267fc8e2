"""Adapters: what learns, what stays, and that merging them changes nothing that is said."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from tests.unlearning.baselines import same, weights
from tests.unlearning.conftest import tiny_model
from unlearning import models
from unlearning.corpus import Corpus
from unlearning.layers import blocks
from unlearning.lora import adapt
from unlearning.methods import METHODS
from unlearning.models import LanguageModel, copy_of
from unlearning.unlearned import seeded

ADAPTED: Mapping[str, dict[str, object]] = {
    "gradient_ascent": {},
    "npo": {},
    "simnpo": {},
    "grad_diff": {},
    "adversarial": {"layer": 1, "inner_steps": 1},
    "llmu": {},
    "selective_ascent": {"samples": 8, "length": 24},
    "anchor_distillation": {"samples": 8, "length": 24},
    "relearning_ascent": {"samples": 8, "length": 24},
    "task_vector": {"strengths": [1.0]},
    "quark": {"rounds": 1, "samples": 2, "length": 8, "prompts": 2, "rehearsed": 8},
    "kga": {"samples": 8, "length": 24, "strangers": 1, "helper_rate": 1e-2, "known": 0.3},
}


@pytest.mark.parametrize("name", ADAPTED)
def test_adapters_change_the_matrices_of_the_blocks_and_nothing_else(
    name: str, victim: LanguageModel, corpus: Corpus, tmp_path: Path
) -> None:
    method = METHODS[name](rate=3e-3, steps=3, lora_rank=2, **ADAPTED[name])
    state = torch.get_rng_state()
    runs = [method.unlearn(victim, corpus).model for _ in range(2)]
    assert torch.equal(torch.get_rng_state(), state)
    assert same(*runs)
    after = runs[0].network
    assert type(after) is type(victim.network)
    assert weights(runs[0]).keys() == weights(victim).keys()
    assert all(p.requires_grad and p.grad is None for p in after.parameters())
    changed = {n for n, w in weights(victim).items() if not torch.equal(w, weights(runs[0])[n])}
    matrices = {
        n
        for n, w in weights(victim).items()
        if ".h." in n and w.dim() == 2  # GPT-2's blocks; their norms and biases are vectors
    }
    assert changed == matrices
    for n in changed:
        gap = weights(runs[0])[n] - weights(victim)[n]
        assert int(torch.linalg.matrix_rank(gap, atol=1e-5)) <= 2
    models.save(runs[0], tmp_path / "model")
    assert same(models.load(tmp_path / "model", "cpu"), runs[0])


@pytest.mark.parametrize("kind", ["gpt2", "llama", "neox", "bert"])
def test_merged_adapters_say_what_they_said_before_the_merge(
    kind: str, untrained: LanguageModel
) -> None:
    model = tiny_model(kind, untrained)
    plain = copy_of(model)
    merge = adapt("npo", model, 3, 0)
    learning = [p for p in model.network.parameters() if p.requires_grad]
    ids = torch.tensor([[2, 40, 41, 42]])
    with torch.no_grad():
        assert torch.equal(model.network(input_ids=ids).logits, plain.network(input_ids=ids).logits)
        for n, p in enumerate(learning):
            p.copy_(torch.randn(p.shape, generator=seeded(n)) * 0.05)
        adapted = model.network(input_ids=ids).logits
        merge()
        merged = model.network(input_ids=ids).logits
    torch.testing.assert_close(merged, adapted, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(merged, plain.network(input_ids=ids).logits, atol=1e-2)
    assert len(blocks(model)) == 2
    assert weights(model).keys() == weights(plain).keys()
