"""The conditional log-likelihood over the unconditional one, and what may stand before a passage."""

from dataclasses import replace

import pytest
import torch

from domain.errors import Code, RequestRejected
from tests.unlearning.conftest import tiny_model
from tests.unlearning.sample import framed
from unlearning.attacks.recall import ReCaLL
from unlearning.encoding import Encoded
from unlearning.models import LanguageModel
from unlearning.scoring import Target
from unlearning.trial import Trial


@torch.no_grad()
def log_p(model: LanguageModel, ids: tuple[int, ...]) -> torch.Tensor:
    """(T - 1) log-probabilities of the tokens of one text, alone."""
    found = model.network(input_ids=torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
    return found.gather(1, torch.tensor(ids[1:])[:, None]).squeeze(1)


def test_the_score_is_minus_the_ratio_of_the_two_log_likelihoods(
    victim: LanguageModel, trial: Trial
) -> None:
    rows, prefix = trial.controls[1:6:2], [trial.controls[7], trial.controls[10]]
    found = ReCaLL(shots=2).measure(Target(victim), rows, prefix)
    for asked, values in zip(rows, found, strict=True):
        before = (*prefix[0].ids[1:], *prefix[1].ids[1:])[-(victim.context - len(asked)) :]
        alone = log_p(victim, asked.ids).mean()
        behind = log_p(victim, (asked.ids[0], *before, *asked.ids[1:]))[-len(asked) + 1 :].mean()
        assert values["recall"] == pytest.approx(-float(behind / alone), rel=1e-4)


def test_a_person_is_never_put_before_the_own_passages(victim: LanguageModel, trial: Trial) -> None:
    asked, other = trial.controls[1], trial.controls[-1]
    own = [c for c in trial.controls if c.person == asked.person]
    joined = ReCaLL(shots=1).behind(victim, asked, [*own, other])
    assert joined is not None
    assert joined.ids == (asked.ids[0], *other.ids[1:][-(128 - len(asked)) :], *asked.ids[1:])
    assert ReCaLL().behind(victim, asked, own) is None


def test_what_stands_before_is_cut_to_the_context(victim: LanguageModel, trial: Trial) -> None:
    def long(length: int) -> Encoded:
        ids = (*trial.members[0].ids, *trial.members[1].ids, *trial.members[2].ids)[:length]
        return replace(trial.members[0], ids=ids, sensitive=(False,) * length, spans=())

    for length in (victim.context - 1, victim.context - 30):
        joined = ReCaLL().behind(victim, long(length), trial.controls)
        assert joined is not None
        assert len(joined) == victim.context
        assert joined.ids[-length + 1 :] == long(length).ids[1:]
        (found,) = ReCaLL().measure(Target(victim), [long(length)], trial.controls)
        assert found["recall"] < 0
    assert ReCaLL().behind(victim, long(victim.context), trial.controls) is None


def test_one_stranger_has_nothing_to_stand_behind(victim: LanguageModel, trial: Trial) -> None:
    alone = [c for c in trial.controls if c.person == trial.controls[0].person]
    with pytest.raises(RequestRejected) as refused:
        ReCaLL().run(Target(victim), trial.members, alone)
    assert refused.value.code is Code.ATTACK_INAPPLICABLE


def test_a_masked_model_is_refused(untrained: LanguageModel, trial: Trial) -> None:
    model = tiny_model("bert", untrained)
    members, controls = framed(model, trial.members[1:2]), framed(model, trial.controls[1:6:3])
    with pytest.raises(RequestRejected) as refused:
        ReCaLL().run(Target(model), members, controls)
    assert refused.value.code is Code.ATTACK_INAPPLICABLE
