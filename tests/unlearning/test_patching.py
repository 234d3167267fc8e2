"""Depth of unlearning where it is known: a model taught one person more, and the same model before that."""

import copy
from dataclasses import replace

import pytest
import torch

from domain.errors import Code, RequestRejected
from tests.unlearning.conftest import tiny_model
from tests.unlearning.sample import framed, row
from unlearning.attacks.patching import Patching, drops
from unlearning.batches import batch_of
from unlearning.encoding import Encoded
from unlearning.layers import blocks, final_norm, recorded
from unlearning.models import LanguageModel
from unlearning.scoring import Target
from unlearning.trial import Trial

IDS = [0, 44, 45, 46, 47, 48, 60, 61]


def other(model: LanguageModel) -> LanguageModel:
    """The same with all weights moved."""
    moved = replace(model, network=copy.deepcopy(model.network))
    order = torch.Generator().manual_seed(3)
    for parameter in moved.network.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=order)
    return moved


@pytest.fixture(scope="module")
def newcomer(trial: Trial) -> list[Encoded]:
    return [r for r in trial.controls if r.person == "control-000"]


@pytest.fixture(scope="module")
def taught(victim: LanguageModel, newcomer: list[Encoded]) -> LanguageModel:
    """The victim, which never saw the newcomer, after it has read about them."""
    model = replace(victim, network=copy.deepcopy(victim.network))
    optimizer = torch.optim.AdamW(model.network.parameters(), lr=2e-3)
    batch = batch_of(model, newcomer, torch.Generator())
    for _ in range(40):
        log_p = batch.logits(model).log_softmax(-1).gather(-1, batch.labels[..., None])[..., 0]
        optimizer.zero_grad()
        (-log_p[batch.valid].mean()).backward()
        optimizer.step()
    optimizer.zero_grad()
    return model


def strangers(trial: Trial) -> list[Encoded]:
    return [r for r in trial.controls if r.person != "control-000"][:12]


def test_what_was_not_unlearned_is_left(
    victim: LanguageModel, taught: LanguageModel, newcomer: list[Encoded], trial: Trial
) -> None:
    target = Target(taught, retrained=victim, original=taught)
    result = Patching().run(target, newcomer, strangers(trial))
    left = result.score("left")
    assert left.members.value > left.controls.high
    assert result.score("depth").members.value == pytest.approx(0.0, abs=1e-5)


def test_a_model_that_is_the_retrained_one_is_erased_to_its_depth(
    victim: LanguageModel, taught: LanguageModel, newcomer: list[Encoded], trial: Trial
) -> None:
    target = Target(victim, retrained=victim, original=taught)
    result = Patching().run(target, newcomer, strangers(trial))
    assert result.score("depth").members.value == pytest.approx(1.0, abs=1e-5)
    left = result.score("left")
    assert left.members.value == pytest.approx(0.0, abs=1e-5)
    assert left.members.value <= left.controls.high


def test_what_only_the_last_layer_hides_is_half_erased(
    victim: LanguageModel, taught: LanguageModel, newcomer: list[Encoded], trial: Trial
) -> None:
    """The last block is scrambled, so that the model says nothing; the one before holds all it held."""
    scrambled = replace(taught, network=copy.deepcopy(taught.network))
    order = torch.Generator().manual_seed(3)
    for parameter in blocks(scrambled)[-1].parameters():
        parameter.data += torch.randn(parameter.shape, generator=order)
    target = Target(scrambled, retrained=victim, original=taught)
    depth = Patching().run(target, newcomer, strangers(trial)).score("depth").members.value
    first, last = drops(taught, victim, newcomer[:1]).mean(0).tolist()
    assert depth == pytest.approx(last / (first + last), abs=0.1)
    assert 0.1 < depth < 0.9


@pytest.mark.parametrize("kind", ["gpt2", "llama", "neox"])
@torch.no_grad()
def test_a_patched_last_layer_is_the_others_states_through_ones_own_head(
    kind: str, untrained: LanguageModel
) -> None:
    original = tiny_model(kind, untrained)
    source = other(original)
    asked = [row(IDS, (6, 8)), row(IDS[:4], (3, 4))]
    found = drops(original, source, asked)
    assert found.shape == (2, 2)
    with recorded(blocks(source)) as seen:
        source.network(input_ids=torch.tensor([IDS]))
    head = original.network.get_output_embeddings()
    patched = head(final_norm(original)(seen[-1][0])).log_softmax(-1)
    own = original.network(input_ids=torch.tensor([IDS])).logits[0].log_softmax(-1)
    by_hand = sum(float(own[t - 1, IDS[t]] - patched[t - 1, IDS[t]]) for t in (6, 7)) / 2
    assert found[0, -1] == pytest.approx(by_hand, abs=1e-4)
    assert drops(original, original, asked).abs().max() < 1e-5


@pytest.mark.parametrize("missing", ["original", "retrained", "other width", "masked"])
def test_without_both_other_models_it_cannot_run(
    missing: str, victim: LanguageModel, trial: Trial
) -> None:
    target = Target(victim, retrained=victim, original=victim)
    members, controls = trial.members, trial.controls[:3]
    if missing == "other width":
        target.retrained = tiny_model("gpt2", victim)
    elif missing == "masked":
        target.model = tiny_model("bert", victim)
        members, controls = framed(target.model, members), framed(target.model, controls)
    else:
        setattr(target, missing, None)
    with pytest.raises(RequestRejected) as refused:
        Patching().run(target, members, controls)
    assert refused.value.code is Code.ATTACK_INAPPLICABLE


def test_no_hook_stays(victim: LanguageModel, trial: Trial) -> None:
    Patching().run(
        Target(victim, retrained=victim, original=victim), trial.members, trial.controls[:3]
    )
    assert not any(m._forward_hooks for m in victim.network.modules())
