"""What the tests of the published gradient methods share: their names, and when two models are the same."""

from collections.abc import Mapping

import torch

from unlearning.models import LanguageModel

BASELINES = ("grad_diff", "npo", "simnpo", "adversarial")
EVERY = (*BASELINES, "gradient_ascent", "llmu")
LAYER: Mapping[str, dict[str, object]] = {"adversarial": {"layer": 1, "inner_steps": 2}}


def weights(model: LanguageModel) -> Mapping[str, torch.Tensor]:
    return model.network.state_dict()


def same(one: LanguageModel, other: LanguageModel) -> bool:
    return all(torch.equal(weights(other)[name], w) for name, w in weights(one).items())
