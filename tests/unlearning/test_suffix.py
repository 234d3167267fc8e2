"""A suffix by gradients: its arithmetic by brute force, its search, and what it is scored on."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from domain.errors import Code, RequestRejected
from tests.unlearning.conftest import tiny_model
from tests.unlearning.sample import framed, row
from unlearning.attacks.suffix import Suffix
from unlearning.attacks.triggers import Greedy, Question, Texts
from unlearning.models import LanguageModel
from unlearning.scoring import Target
from unlearning.trial import Trial

QUESTIONS: list[Question] = [
    ((0, 44, 45, 46), (70, 71), (47, 48, 60)),
    ((0,), (), (61,)),
    ((0, 62, 63), (72,), (64, 65)),
]
QUICK = Suffix(tokens=4, steps=3, candidates=8)


def by_hand(
    model: LanguageModel, suffix: Sequence[int], asked: Question, embedded: torch.Tensor
) -> tuple[torch.Tensor, bool]:
    """Mean log p of a secret behind text, suffix and cue, with no cache; the suffix as embeddings (n, d)."""
    before, cue, secret = asked
    ids = torch.tensor([*before, *suffix, *cue, *secret])
    inputs = model.network.get_input_embeddings()(ids).detach()
    inputs = torch.cat([inputs[: len(before)], embedded, inputs[len(before) + len(suffix) :]])
    log_p = model.network(inputs_embeds=inputs[None]).logits[0].log_softmax(-1)
    at = range(len(ids) - len(secret), len(ids))
    said = all(int(log_p[t - 1].argmax()) == int(ids[t]) for t in at)
    return torch.stack([log_p[t - 1, ids[t]] for t in at]).mean(), said


@pytest.mark.parametrize("kind", ["gpt2", "llama", "neox"])
@pytest.mark.parametrize("suffix", [[80, 81, 82], []])
def test_many_texts_at_once_equal_each_alone(
    kind: str, suffix: list[int], untrained: LanguageModel
) -> None:
    model = tiny_model(kind, untrained)
    tries = torch.tensor([suffix, suffix[::-1]], dtype=torch.long)
    log_p, hit = Texts(model, QUESTIONS, len(suffix)).log_probability(tries)
    assert log_p.shape == (2, 3)
    table = model.network.get_input_embeddings()
    for c, one in enumerate(tries):
        for b, asked in enumerate(QUESTIONS):
            alone, said = by_hand(model, one.tolist(), asked, table(one).detach())
            assert log_p[c, b] == pytest.approx(float(alone.detach()), abs=1e-4)
            assert bool(hit[c, b]) == said


@pytest.mark.parametrize("kind", ["gpt2", "llama", "neox"])
def test_the_gain_is_the_gradient(kind: str, untrained: LanguageModel) -> None:
    model = tiny_model(kind, untrained)
    suffix, table = torch.tensor([80, 81, 82]), model.network.get_input_embeddings()
    embedded = table(suffix).detach().requires_grad_()
    total = torch.stack([by_hand(model, suffix.tolist(), q, embedded)[0] for q in QUESTIONS]).mean()
    (slope,) = torch.autograd.grad(total, embedded)
    expected = (slope @ table.weight.T).detach()
    expected -= expected.gather(1, suffix[:, None])
    found = Texts(model, QUESTIONS, 3).gain(suffix)
    assert torch.allclose(found, expected, atol=1e-4)
    assert all(p.grad is None for p in model.network.parameters())


def test_the_search_only_keeps_what_helps_and_the_seed_decides(small: LanguageModel) -> None:
    def value(suffix: torch.Tensor) -> float:
        return float(Texts(small, QUESTIONS, 4).log_probability(suffix[None])[0].mean())

    def found(steps: int, seed: int = 7) -> torch.Tensor:
        order = torch.Generator().manual_seed(seed)
        return Greedy(4, steps, 16, 32).suffix(small, QUESTIONS, order)

    values = [value(found(steps)) for steps in (0, 5, 20)]
    assert values[0] < values[1] < values[2]
    assert torch.equal(found(5), found(5))
    assert not torch.equal(found(0, 7), found(0, 8))
    assert not set(found(20).tolist()) & set(small.tokenizer.all_special_ids)


def test_no_value_is_both_fitted_and_scored(victim: LanguageModel, trial: Trial) -> None:
    fitted, scored = Suffix()._halves(Target(victim), trial.members)
    assert len(fitted) + len(scored) == 9
    assert fitted
    assert scored
    assert not {secret for *_, secret in fitted} & {secret for *_, secret in scored}


def test_a_memorised_person_lies_beyond_strangers(victim: LanguageModel, trial: Trial) -> None:
    result = QUICK.run(Target(victim), trial.members, trial.controls[:15])
    score = result.score("log_probability")
    assert score.members.value > score.controls.high
    assert result.score("extraction").controls.hits == 0
    assert {s.metric for s in result.scores} == {"extraction", "log_probability", "gain"}


def test_a_stranger_lies_among_strangers(victim: LanguageModel, trial: Trial) -> None:
    result = QUICK.run(Target(victim), trial.controls[:3], trial.controls[3:18])
    assert all(s.members.value <= s.controls.high for s in result.scores)


def test_a_suffix_found_on_the_original_is_carried_over(
    victim: LanguageModel, small: LanguageModel, trial: Trial
) -> None:
    attack = replace(QUICK, steps=1)
    same = attack.run(Target(victim, original=victim), trial.members, trial.controls[:6])
    assert same.score("transferred_gain") == replace(same.score("gain"), metric="transferred_gain")
    apart = attack.run(Target(small, original=victim), trial.members, trial.controls[:6])
    assert apart.score("transferred_gain").members != apart.score("gain").members


def test_a_text_as_long_as_the_context_makes_room(small: LanguageModel) -> None:
    long = tuple([44] * (small.context - 2))
    texts = Texts(small, [(long, (45,), (46,)), ((0, 47), (), (48,))], 8)
    assert texts.seen.shape[1] + 1 + 8 + 2 == small.context
    assert texts.log_probability(torch.full((3, 8), 50))[0].isfinite().all()


def test_one_value_leaves_nothing_to_score_on(small: LanguageModel, trial: Trial) -> None:
    with pytest.raises(RequestRejected) as refused:
        QUICK.run(Target(small), [row([0, 44, 45, 46], (2, 4))], trial.controls[:3])
    assert refused.value.code is Code.ATTACK_INAPPLICABLE


def test_a_masked_model_is_refused(untrained: LanguageModel, trial: Trial) -> None:
    model = tiny_model("bert", untrained)
    with pytest.raises(RequestRejected):
        QUICK.run(Target(model), framed(model, trial.members), framed(model, trial.controls[:3]))
