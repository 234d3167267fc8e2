"""Our losses, latent attack and labels beside other projects' own numbers for the same model and texts.

The golden numbers come from their code, run by `tests/benchmark/loss_judges.py`; each says of which repository, commit
and function it is.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.unlearning import judged
from tests.unlearning import loss_cases as cases
from unlearning.anchors import Generic
from unlearning.latent import LatentAttack, secret_nll
from unlearning.losses import ascent, kl_from, npo, simnpo, token_nll
from unlearning.models import LanguageModel
from unlearning.unlearned import seeded

VALUES: dict[str, Any] = json.loads(
    (Path(__file__).parent / "golden" / "losses.json").read_text(encoding="utf-8")
)["values"]


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return judged.target()


@pytest.fixture(scope="module")
def other() -> LanguageModel:
    return judged.references()[0]


def golden(name: str) -> Any:
    return VALUES[name]["value"]


@torch.no_grad()
def test_the_forget_losses_are_theirs(model: LanguageModel, other: LanguageModel) -> None:
    for which, batch, mask in cases.batches(model):
        nll = token_nll(batch.logits(model), batch.labels)
        reference = token_nll(batch.logits(other), batch.labels)
        found = {
            f"npo_{which}": npo(nll, reference, mask, cases.BETA),
            f"npo_{which}_again": npo(nll, reference, mask, cases.BETA),
            f"simnpo_{which}": simnpo(nll, mask, cases.SIMPLE_BETA, cases.DELTA),
            f"simnpo_{which}_no_margin": simnpo(nll, mask, cases.SIMPLE_BETA, 0.0),
            f"wga_{which}": ascent(nll, mask, cases.WEIGHT),
        }
        for name, value in found.items():
            assert float(value) == pytest.approx(golden(name), rel=1e-5), name


@torch.no_grad()
def test_the_kl_is_theirs(model: LanguageModel, other: LanguageModel) -> None:
    for row, expected in zip(judged.members(), golden("kl"), strict=True):
        ids = torch.tensor([row.ids])
        ours, theirs = (m.network(input_ids=ids).logits for m in (model, other))
        assert float(kl_from(theirs, ours, ids >= 0)) == pytest.approx(expected, rel=1e-5)


def test_the_push_of_the_latent_attack_is_theirs(model: LanguageModel) -> None:
    attack = LatentAttack(cases.LAYER, cases.STEPS, cases.RADIUS)
    for n, (batch, _) in enumerate(cases.watched(model)):
        found = attack.push(model, batch, secret_nll(batch), seeded(n)).flatten()[::7]
        torch.testing.assert_close(found, torch.tensor(golden(f"push_{n}")), rtol=1e-3, atol=1e-5)
    assert n == cases.PUSHED - 1


def test_the_labels_of_a_reinforced_model_are_theirs(
    model: LanguageModel, other: LanguageModel
) -> None:
    generic = Generic(other, cases.ALPHA, fictitious=False)
    for n, row in enumerate(judged.members()):
        (span,) = row.spans
        found = generic.lowered(model, row, span, torch.empty(0)).flatten()[::97]
        torch.testing.assert_close(found, torch.tensor(golden(f"whp_{n}")), rtol=1e-5, atol=1e-5)
