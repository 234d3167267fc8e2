"""Draws and beams against the model asked by itself, with no cache and no batch."""

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from domain.errors import Code, RequestRejected
from tests.unlearning.conftest import tiny_model
from tests.unlearning.sample import framed, row
from tests.unlearning.stub import END, of_table, says
from unlearning.attacks.growing import Texts, searched
from unlearning.attacks.sampled import Sampled
from unlearning.generation import shared_cache
from unlearning.models import LanguageModel
from unlearning.scoring import Target
from unlearning.trial import Trial


def readable(model: LanguageModel) -> LanguageModel:
    """A table model whose token t reads as the letter of that number, with a dash before it."""
    tokenizer = SimpleNamespace(
        eos_token_id=END,
        bos_token_id=END,
        pad_token_id=END,
        decode=lambda ids: "".join(f"-{chr(97 + i)}" for i in ids),
    )
    return replace(model, tokenizer=cast("PreTrainedTokenizerFast", tokenizer))


def test_a_memorised_person_is_said_and_a_stranger_is_not(
    victim: LanguageModel, trial: Trial
) -> None:
    result = Sampled(draws=4).run(Target(victim), trial.members, trial.controls)
    for metric in ("draws", "beam"):
        score = result.score(metric)
        assert score.members.value > 0.7
        assert score.controls.hits == 0
        assert score.members.value > score.controls.high
    draws = result.score("draws").controls
    assert draws.trials == 4 * result.score("beam").controls.trials
    assert 0 < draws.high < 0.02


def test_no_hit_in_640_draws_is_at_most_six_in_a_thousand() -> None:
    model = readable(says({1: 2, 2: 3}, strength=50.0))
    found = Sampled(draws=640, width=0).run(
        Target(model), [row([0, 1, 5], (2, 3))], [row([0, 4, 6], (2, 3))]
    )
    score = found.score("draws")
    assert (score.members.hits, score.members.trials) == (0, 640)
    assert score.members.high == pytest.approx(1 - 0.025 ** (1 / 640))


def test_a_draw_comes_as_often_as_the_model_says() -> None:
    table = torch.zeros(10, 10)
    table[:, 5] = 1.0
    model = readable(of_table(table))
    asked, other = row([0, 1, 5], (2, 3)), row([0, 2, 6], (2, 3))
    found = Sampled(draws=2000, width=0, length=1).run(Target(model), [asked], [other])
    e = 2.718281828
    assert found.score("draws").members.value == pytest.approx(e / (e + 9), abs=0.03)
    assert found.score("draws").controls.value == pytest.approx(1 / (e + 9), abs=0.03)


def test_a_value_anywhere_in_the_continuation_is_a_hit_and_after_the_end_token_is_none() -> None:
    model = readable(says({1: 2, 2: 3, 3: 4, 5: END, END: 4}, strength=50.0))
    late, ended = row([0, 1, 4], (2, 3)), row([0, 5, 4], (2, 3))
    found = Sampled(draws=1).run(Target(model), [late], [ended])
    for metric in ("draws", "beam"):
        assert found.score(metric).members.hits == 1  # it says c, d and then e
        assert found.score(metric).controls.hits == 0
    near = Sampled(draws=1, length=2).run(Target(model), [late], [ended])
    assert near.score("draws").members.hits == 0


def likeliest(model: LanguageModel, ids: tuple[int, ...], steps: int, width: int) -> list[int]:
    """Beam search with nothing kept between steps."""
    beams = [(0.0, list(ids))]
    for _ in range(steps):
        grown = []
        for total, said in beams:
            logits = model.network(input_ids=torch.tensor([said])).logits[0, -1].float()
            best = logits.log_softmax(-1).topk(width)
            grown += [
                (total + float(p), [*said, int(t)])
                for p, t in zip(best.values, best.indices, strict=True)
            ]
        beams = sorted(grown, key=lambda b: -b[0])[:width]
    return beams[0][1][len(ids) :]


@pytest.mark.parametrize("kind", ["gpt2", "llama", "neox"])
@torch.no_grad()
def test_the_beam_equals_one_without_a_cache(kind: str, untrained: LanguageModel) -> None:
    model = tiny_model(kind, untrained)
    ids = (0, 44, 45, 46, 47, 48, 60, 61)
    starts = torch.tensor([2, 2, 2, 7, 7, 7])
    cache, logits = shared_cache(model, ids[:7])
    found = searched(Texts(model, cache, logits, starts), 6, 3)
    assert found[0].tolist() == likeliest(model, ids[:2], 6, 3)
    assert found[3].tolist() == likeliest(model, ids[:7], 6, 3)


def test_continuations_end_with_the_context(untrained: LanguageModel) -> None:
    model = tiny_model("gpt2", untrained)
    edge = row([0, *([44] * (model.context - 2)), 45], (1, 2), (model.context - 1, model.context))
    other = row([0, *([46] * (model.context - 2)), 47], (model.context - 1, model.context))
    found = Sampled(draws=2, width=2).run(Target(model), [edge], [other])
    assert found.score("draws").members.trials == 4


def test_the_same_seed_draws_the_same(small: LanguageModel, trial: Trial) -> None:
    attack = Sampled(draws=3, width=2, length=8)

    def run(seed: int, times: int = 1) -> object:
        groups = trial.members * times, trial.controls[:3]
        return attack.run(Target(small, seed), *groups)

    state = torch.get_rng_state()
    assert run(1) == run(1)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_masked_model_is_refused(untrained: LanguageModel, trial: Trial) -> None:
    model = tiny_model("bert", untrained)
    with pytest.raises(RequestRejected) as refused:
        Sampled().run(
            Target(model), framed(model, trial.members), framed(model, trial.controls[:3])
        )
    assert refused.value.code is Code.ATTACK_INAPPLICABLE


@pytest.mark.parametrize("knobs", [{"draws": 0, "width": 0}, {"temperature": 0.0}, {"top_k": 0}])
def test_impossible_knobs_are_refused(knobs: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"need|must"):
        Sampled(**knobs)  # type: ignore[arg-type]
