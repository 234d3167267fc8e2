"""Neighbours differ where they may, and the score is the loss minus theirs."""

from dataclasses import replace

import pytest
import torch

from domain.errors import Code, RequestRejected
from tests.unlearning.conftest import tiny_model
from tests.unlearning.sample import framed, row
from unlearning.attacks.neighbourhood import Neighbourhood, words
from unlearning.attacks.reference import losses
from unlearning.models import LanguageModel
from unlearning.scoring import Target
from unlearning.trial import Trial


def drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("kind", ["victim", "bert"])
def test_a_neighbour_differs_in_words_that_are_no_secret(
    kind: str, victim: LanguageModel, untrained: LanguageModel, trial: Trial
) -> None:
    model = victim if kind == "victim" else tiny_model(kind, untrained)
    (asked,) = framed(model, trial.members[1:2])
    near = Neighbourhood(neighbours=30, swaps=3).around(model, asked, drawn())
    assert len({text.ids for text in near}) > 20
    for text in near:
        changed = [t for t in range(len(asked)) if text.ids[t] != asked.ids[t]]
        assert len(changed) == 3
        assert not any(asked.sensitive[t] for t in changed)
        assert all(model.tokenizer.decode([asked.ids[t]]).strip().isalpha() for t in changed)
        assert not {text.ids[t] for t in changed} & set(model.tokenizer.all_special_ids)


@torch.no_grad()
def test_what_is_put_in_is_among_the_likeliest_there(victim: LanguageModel, trial: Trial) -> None:
    asked = trial.members[1]
    logits = victim.network(input_ids=torch.tensor([asked.ids])).logits[0]
    for text in Neighbourhood(neighbours=20, swaps=1, top=4).around(victim, asked, drawn()):
        (t,) = [t for t in range(len(asked)) if text.ids[t] != asked.ids[t]]
        assert text.ids[t] in logits[t - 1].topk(5).indices.tolist()  # the true one may be a fifth


def test_the_score_is_the_loss_minus_the_mean_loss_of_the_neighbours(
    victim: LanguageModel, trial: Trial
) -> None:
    attack, rows = Neighbourhood(neighbours=5), trial.members[1:3]
    found = attack.measure(Target(victim), rows, drawn(3))
    draw = drawn(3)
    near = [attack.around(victim, asked, draw) for asked in rows]
    for asked, texts, values in zip(rows, near, found, strict=True):
        others = [losses(Target(victim), [text])[0] for text in texts]
        expected = losses(Target(victim), [asked])[0] - sum(others) / 5
        assert values["neighbourhood"] == pytest.approx(expected, abs=1e-5)


def test_the_seed_decides_what_is_drawn(victim: LanguageModel, trial: Trial) -> None:
    def found(seed: int) -> object:
        target = Target(victim, seed=seed)
        return Neighbourhood(neighbours=4).run(target, trial.members, trial.controls[:6])

    assert found(1) == found(1)
    assert found(1) != found(2)


def test_a_passage_of_secrets_and_signs_has_no_neighbours(
    victim: LanguageModel, trial: Trial
) -> None:
    asked = trial.members[1]
    bare = row(asked.ids, (1, len(asked)), person="p0")
    assert words(victim, bare) == []
    assert Neighbourhood().measure(Target(victim), [bare], drawn()) == [{}]
    with pytest.raises(RequestRejected) as refused:
        Neighbourhood().run(Target(victim), [bare], [replace(c) for c in trial.controls])
    assert refused.value.code is Code.ATTACK_INAPPLICABLE
