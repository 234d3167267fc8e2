"""Attribution equals a slow reference, adds up, and finds the feed-forward layers of four architectures."""

import pytest
import torch

from tests.unlearning.conftest import tiny_model
from tests.unlearning.sample import row
from unlearning.encoding import Encoded
from unlearning.models import LanguageModel
from unlearning.neurons import attribute, down_projections, outgoing
from unlearning.trial import Trial

NAMES = {
    "gpt2": "transformer.h.{}.mlp.c_proj",
    "neox": "gpt_neox.layers.{}.mlp.dense_4h_to_h",
    "llama": "model.layers.{}.mlp.down_proj",
    "bert": "bert.encoder.layer.{}.output.dense",
}


@pytest.mark.parametrize("kind", NAMES)
def test_the_down_projections_are_found_by_structure(kind: str, untrained: LanguageModel) -> None:
    model = tiny_model(kind, untrained)
    modules = dict(model.network.named_modules())
    assert down_projections(model) == [modules[NAMES[kind].format(layer)] for layer in range(2)]


@pytest.mark.parametrize("kind", NAMES)
def test_zeroing_an_outgoing_row_silences_that_neuron_and_no_other(
    kind: str, untrained: LanguageModel
) -> None:
    module = down_projections(tiny_model(kind, untrained))[0]
    inputs = torch.eye(48)
    with torch.no_grad():
        before = module(inputs)
        outgoing(module)[7] = 0.0
        after = module(inputs)
        bias = module(torch.zeros(1, 48))
    torch.testing.assert_close(after[7], bias[0])
    assert torch.equal(after[torch.arange(48) != 7], before[torch.arange(48) != 7])


def slow(model: LanguageModel, asked: Encoded, start: int, end: int, steps: int) -> torch.Tensor:
    """Layer by layer, point by point, with whole forward passes: (L, F)."""
    modules = down_projections(model)
    total = torch.zeros(len(modules), outgoing(modules[0]).shape[0])
    for t in range(start, end):
        ids = list(asked.ids) if model.masked else list(asked.ids[:t])
        if model.masked:
            ids[t:end] = [model.tokenizer.mask_token_id] * (end - t)
        at = t if model.masked else t - 1
        for layer, module in enumerate(modules):
            for point in range(steps):
                kept: list[torch.Tensor] = []

                def move(
                    _: torch.nn.Module,
                    args: tuple[torch.Tensor],
                    scale: float = (point + 0.5) / steps,
                    kept: list[torch.Tensor] = kept,
                    at: int = at,
                ) -> tuple[torch.Tensor]:
                    own = args[0][:, at].detach()
                    moved = (scale * own).requires_grad_()
                    kept.extend((own, moved))
                    changed = args[0].clone()
                    changed[:, at] = moved
                    return (changed,)

                handle = module.register_forward_pre_hook(move)
                logits = model.network(input_ids=torch.tensor([ids]), use_cache=False).logits
                handle.remove()
                p = logits[0, at].softmax(-1)[asked.ids[t]]
                (slope,) = torch.autograd.grad(p, kept[1])
                total[layer] += (kept[0] * slope)[0] / steps
    return total


@pytest.mark.parametrize("kind", ["gpt2", "llama", "neox", "bert"])
def test_attribution_equals_whole_forward_passes(
    kind: str, untrained: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unlearning.neurons.DOUBLINGS", 0)
    model = tiny_model(kind, untrained)
    first = model.tokenizer.cls_token_id if model.masked else 0
    asked = row([first, *range(60, 70), 2], (4, 6))
    found = attribute(model, asked, 4, 6, steps=5).scores
    expected = slow(model, asked, 4, 6, steps=5)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=float(expected.abs().max()) * 1e-4)


def test_tokens_of_a_secret_that_are_not_marked_count_for_nothing(small: LanguageModel) -> None:
    asked = row([0, *range(60, 70)], (4, 5))
    torch.testing.assert_close(
        attribute(small, asked, 4, 6).scores, attribute(small, asked, 4, 5).scores
    )


def test_one_neuron_alone_agrees_with_finite_differences(small: LanguageModel) -> None:
    """The sum over a layer is the change of p when its activations go from zero to their value."""
    asked = row([0, *range(60, 70)], (4, 5))
    found = attribute(small, asked, 4, 5)
    for layer, module in enumerate(down_projections(small)):

        def ask(scale: float, module: torch.nn.Module = module) -> float:
            def move(_: torch.nn.Module, args: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
                changed = args[0].clone()
                changed[:, -1] *= scale
                return (changed,)

            handle = module.register_forward_pre_hook(move)
            with torch.no_grad():
                logits = small.network(input_ids=torch.tensor([asked.ids[:4]])).logits
            handle.remove()
            return float(logits[0, -1].softmax(-1)[asked.ids[4]])

        effect = ask(1.0) - ask(0.0)
        assert float(found.scores[layer].sum()) == pytest.approx(effect, rel=0.05, abs=1e-5)


def test_scores_add_up_to_the_effect_within_one_percent_on_what_is_known_by_heart(
    victim: LanguageModel, trial: Trial
) -> None:
    gaps = [
        attribute(victim, asked, span.start, span.end).gap
        for asked in trial.members[:2]
        for span in asked.spans
    ]
    assert max(gaps) <= 0.01


def test_the_first_token_after_nothing_can_be_asked_for(small: LanguageModel) -> None:
    assert attribute(small, row([60, 61, 62], (1, 2)), 1, 2).scores.abs().sum() > 0


def test_attribution_does_not_depend_on_how_many_copies_fit_in_memory(
    small: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = row([0, *range(60, 70)], (4, 6))
    at_once = attribute(small, asked, 4, 6).scores
    monkeypatch.setattr("unlearning.neurons.tokens_per_batch", lambda _: 1)
    torch.testing.assert_close(attribute(small, asked, 4, 6).scores, at_once)
