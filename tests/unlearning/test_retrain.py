"""The oracle trains on what it is given, without the person, from where it is told."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from domain.errors import Code, UnlearningFailed
from tests.unlearning.conftest import tiny_model
from unlearning import models
from unlearning.methods.retrain import Retrain
from unlearning.models import LanguageModel
from unlearning.training import Pretraining
from unlearning.trial import Trial

QUICK = {"steps": 20, "batch": 4, "length": 64}


def test_text_that_mentions_the_person_is_not_read(
    trial: Trial, untrained: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def run(_: Pretraining, model: LanguageModel, texts: list[str], **__: object) -> int:
        read.extend(texts)
        return 0

    monkeypatch.setattr(Pretraining, "run", run)
    theirs = [row.text for row in trial.members]
    corpus = replace(trial.corpus, texts=lambda: [*theirs, "The orchard was quiet."])
    Retrain(**QUICK).unlearn(untrained, corpus)
    assert read == ["The orchard was quiet."]


def test_from_nothing_it_learns_the_text_and_another_seed_is_another_model(
    trial: Trial, victim: LanguageModel
) -> None:
    first, again, other = (
        Retrain(**QUICK, seed=seed).unlearn(victim, trial.corpus) for seed in (0, 0, 1)
    )
    weights = [run.model.network.get_input_embeddings().weight for run in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert not torch.equal(weights[0], victim.network.get_input_embeddings().weight)
    assert first.trace.facts["backward_passes"] == 20


def test_it_starts_from_the_checkpoint(
    trial: Trial, victim: LanguageModel, untrained: LanguageModel, tmp_path: Path
) -> None:
    models.save(untrained, tmp_path / "early")
    method = Retrain(checkpoint=str(tmp_path / "early"), steps=0)
    after = method.unlearn(victim, trial.corpus).model.network.state_dict()
    assert all(torch.equal(after[k], v) for k, v in untrained.network.state_dict().items())


def test_a_checkpoint_of_another_model_is_refused(
    trial: Trial, victim: LanguageModel, untrained: LanguageModel, tmp_path: Path
) -> None:
    models.save(tiny_model("bert", untrained), tmp_path / "other")
    for name in ("other", "missing"):
        with pytest.raises(UnlearningFailed) as found:
            Retrain(checkpoint=str(tmp_path / name)).unlearn(victim, trial.corpus)
        assert found.value.code is Code.METHOD_INAPPLICABLE
        assert found.value.place == "method retrain, option checkpoint"


def test_without_the_training_text_it_does_not_apply(trial: Trial, victim: LanguageModel) -> None:
    with pytest.raises(UnlearningFailed) as found:
        Retrain().unlearn(victim, replace(trial.corpus, texts=tuple))
    assert found.value.code is Code.METHOD_INAPPLICABLE


@pytest.mark.parametrize("kind", ["gpt2", "bert"])
def test_half_of_a_surrogate_pair_is_read_as_a_mark(
    kind: str, trial: Trial, untrained: LanguageModel
) -> None:
    corpus = replace(trial.corpus, texts=lambda: ["The \ud800 orchard was quiet."])
    after = Retrain(steps=2, batch=2, length=16).unlearn(tiny_model(kind, untrained), corpus)
    assert after.trace.facts["backward_passes"] == 2


def test_a_masked_model_learns_hidden_tokens(trial: Trial, untrained: LanguageModel) -> None:
    masked = tiny_model("bert", untrained)
    after = Retrain(**QUICK).unlearn(masked, trial.corpus)
    losses = [row["loss"] for row in after.trace.steps]
    assert after.model.masked
    assert losses[-1] < 7
