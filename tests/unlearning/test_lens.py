"""The lens reads the last layer as the model itself does, and finds what only an inner layer knows."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from domain.errors import Code, RequestRejected
from tests.unlearning.conftest import tiny_model
from tests.unlearning.sample import framed, row
from unlearning.attacks.lens import LogitLens, lens
from unlearning.layers import final_norm
from unlearning.models import LanguageModel
from unlearning.scoring import Target
from unlearning.trial import Trial

IDS = [0, 44, 45, 46, 47, 48, 60, 61]


@pytest.mark.parametrize("kind", ["gpt2", "llama", "neox"])
def test_the_last_layer_says_what_the_model_says(kind: str, untrained: LanguageModel) -> None:
    model = tiny_model(kind, untrained)
    rows, at = [row(IDS), row(IDS[:5])], [(0, 3), (0, 7), (1, 4)]
    with torch.no_grad():
        log_p, first = lens(model, rows, at)
        logits = model.network(input_ids=torch.tensor([IDS])).logits[0]
    assert log_p.shape == (2, 3)
    for n, (_, t) in enumerate(at):
        whole = logits[t - 1].log_softmax(-1)
        assert log_p[-1, n] == pytest.approx(float(whole[IDS[t]]), abs=1e-4)
        assert first[-1, n] == float(whole.argmax() == IDS[t])


@pytest.mark.parametrize("kind", ["gpt2", "llama", "neox"])
@torch.no_grad()
def test_an_inner_layer_is_the_residual_stream_through_norm_and_head(
    kind: str, untrained: LanguageModel
) -> None:
    model = tiny_model(kind, untrained)
    log_p, _ = lens(model, [row(IDS)], [(0, 5)])
    inner = model.network(input_ids=torch.tensor([IDS]), output_hidden_states=True).hidden_states[1]
    logits = model.network.get_output_embeddings()(final_norm(model)(inner[0, 4]))
    assert log_p[0, 0] == pytest.approx(float(logits.log_softmax(-1)[48]), abs=1e-4)


def test_a_memorised_person_lies_beyond_strangers(victim: LanguageModel, trial: Trial) -> None:
    result = LogitLens().run(Target(victim), trial.members, trial.controls)
    for metric in ("log_probability", "first_choice", "ahead"):
        score = result.score(metric)
        assert score.members.value > score.controls.high
        assert score.controls.trials == 10
    assert result.score("first_choice").members.value > 0.95
    assert result.score("layer").members.value == 2  # the last of two


def test_a_stranger_lies_among_strangers(victim: LanguageModel, trial: Trial) -> None:
    one = [r for r in trial.controls if r.person == "control-004"]
    others = [r for r in trial.controls if r.person != "control-004"]
    result = LogitLens().run(Target(victim), one, others)
    assert all(s.members.value <= s.controls.high for s in result.scores if s.metric != "layer")


class _Silenced(nn.Module):
    """The last block of a model that has learnt not to speak: it takes back what the one before says."""

    def forward(self, hidden: torch.Tensor, *_: object, **__: object) -> torch.Tensor:
        return -hidden


def test_what_the_last_layer_hides_an_inner_layer_still_gives(
    victim: LanguageModel, trial: Trial
) -> None:
    model = replace(victim, network=copy.deepcopy(victim.network))
    model.network.transformer.h.append(_Silenced())
    result = LogitLens().run(Target(model), trial.members, trial.controls)
    assert float(Target(model).scores(trial.members[:1])[0].hit.float().mean()) < 0.2
    assert result.score("layer").members.value == 2
    assert result.score("log_probability").members.value > -0.1
    assert result.score("ahead").members.value > result.score("ahead").controls.high


def test_a_head_that_is_not_understood_is_refused(victim: LanguageModel, trial: Trial) -> None:
    model = replace(victim, network=copy.deepcopy(victim.network))
    model.network.transformer.ln_f.register_forward_hook(lambda _, __, out: out * 1.0)
    model.network.lm_head.register_forward_hook(
        lambda _, args, out: out if args[0].dim() == 2 else out / 2
    )
    with pytest.raises(RequestRejected) as refused:
        LogitLens().run(Target(model), trial.members, trial.controls[:3])
    assert refused.value.code is Code.ATTACK_INAPPLICABLE


def test_a_masked_model_is_refused(untrained: LanguageModel, trial: Trial) -> None:
    model = tiny_model("bert", untrained)
    with pytest.raises(RequestRejected):
        LogitLens().run(
            Target(model), framed(model, trial.members), framed(model, trial.controls[:3])
        )


def test_too_few_strangers_leave_the_distance_out(victim: LanguageModel, trial: Trial) -> None:
    result = LogitLens().run(Target(victim), trial.members, trial.controls[:6])  # two strangers
    assert "ahead" not in {s.metric for s in result.scores}
