"""The learning rate falls over the last share of the steps, and `tune` asks for it step by step."""

import math
from pathlib import Path

import pytest
import torch

from domain.errors import Code, RequestRejected
from unlearning.methods.loo_ensemble import LooEnsemble
from unlearning.models import LanguageModel
from unlearning.trial import Trial


def test_over_its_share_of_the_steps_it_falls_evenly_and_not_to_zero() -> None:
    method = LooEnsemble(steps=10, rate=1.0, cooldown=0.5)
    found = [method.rate_at(step) for step in range(10)]
    assert found == pytest.approx([1.0] * 6 + [0.8, 0.6, 0.4, 0.2])


@pytest.mark.parametrize("steps", [1, 3])
def test_without_a_share_it_stays(steps: int) -> None:
    method = LooEnsemble(steps=steps, rate=1.0, cooldown=0.0)
    assert [method.rate_at(step) for step in range(steps)] == [1.0] * steps


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan])
def test_no_share_is_refused_by_name(share: float) -> None:
    with pytest.raises(RequestRejected) as rejected:
        LooEnsemble(cooldown=share)
    assert rejected.value.code is Code.POLICY_INVALID
    assert rejected.value.place == "methods, option cooldown"


class Still(LooEnsemble):
    def rate_at(self, step: int) -> float:
        return 0.0


def test_a_step_is_as_long_as_it_says(victim: LanguageModel, teachers: Path, trial: Trial) -> None:
    given = {"shards": str(teachers), "steps": 2, "samples": 4, "length": 24}
    before = victim.network.state_dict()
    for method, moves in ((Still, False), (LooEnsemble, True)):
        after = method(**given).unlearn(victim, trial.corpus).model.network.state_dict()
        moved = any(not torch.equal(before[name], after[name]) for name in before)
        assert moved is moves
