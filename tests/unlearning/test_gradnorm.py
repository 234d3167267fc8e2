"""The gradient's norm in both conventions against plain back-propagation."""

import copy
from dataclasses import replace

import pytest
import torch

from domain.errors import Code, RequestRejected
from tests.unlearning.conftest import tiny_model
from tests.unlearning.sample import framed
from tests.unlearning.stub import says
from unlearning.attacks.gradnorm import GradNorm
from unlearning.encoding import Encoded
from unlearning.models import LanguageModel
from unlearning.scoring import Target
from unlearning.trial import Trial


def norms(model: LanguageModel, asked: Encoded, last: int) -> torch.Tensor:
    """(tensors) 2-norm of each weight tensor's gradient, by `backward` on a copy."""
    network = copy.deepcopy(model.network).eval()
    ids = torch.tensor([asked.ids])
    log_p = network(input_ids=ids).logits[0, :-1].log_softmax(-1)
    own = log_p.gather(1, ids[0, 1:, None]).squeeze(1)
    (-own[:last].mean()).backward()
    return torch.stack([p.grad.norm() for p in network.parameters() if p.grad is not None])


@pytest.mark.parametrize("kind", ["gpt2", "llama", "neox"])
def test_both_conventions_equal_plain_back_propagation(
    kind: str, untrained: LanguageModel, trial: Trial
) -> None:
    model, asked = tiny_model(kind, untrained), trial.members[1]
    weights, whole = list(model.network.parameters()), len(asked) - 1
    every, dropped = norms(model, asked, whole), norms(model, asked, whole - 1)
    assert GradNorm().norm(model, asked, weights) == pytest.approx(float(every.norm()), rel=1e-5)
    assert GradNorm(by_tensor=True).norm(model, asked, weights) == pytest.approx(
        float(every.mean()), rel=1e-5
    )
    assert GradNorm(by_tensor=True, drop_last=True).norm(model, asked, weights) == pytest.approx(
        float(dropped.mean()), rel=1e-5
    )


def test_frozen_weights_count_and_stay_frozen(victim: LanguageModel, trial: Trial) -> None:
    frozen = replace(victim, network=copy.deepcopy(victim.network))
    for parameter in frozen.network.parameters():
        parameter.requires_grad_(False)
    groups = (trial.members, trial.controls[:6])
    assert GradNorm().run(Target(frozen), *groups) == GradNorm().run(Target(victim), *groups)
    assert not any(p.requires_grad for p in frozen.network.parameters())
    assert all(p.grad is None for p in frozen.network.parameters())


def test_a_masked_model_is_refused(untrained: LanguageModel, trial: Trial) -> None:
    model = tiny_model("bert", untrained)
    members, controls = framed(model, trial.members[1:2]), framed(model, trial.controls[1:6:3])
    with pytest.raises(RequestRejected) as refused:
        GradNorm().run(Target(model), members, controls)
    assert refused.value.code is Code.ATTACK_INAPPLICABLE


def test_a_passage_with_nothing_left_to_predict_has_no_score(trial: Trial) -> None:
    model = says({})
    short = replace(trial.members[1], ids=(0, 1))
    assert GradNorm(drop_last=True)._measure(model, [short], []) == [{}]
