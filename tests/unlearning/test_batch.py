"""Thirty-two people in one run: whoever of them the model knew, it knows less of afterwards."""

from dataclasses import fields
from statistics import fmean

import pytest

from flows.fiction import passages, people
from tests.unlearning.conftest import Town
from tests.unlearning.test_methods import KNOBS
from unlearning.methods import METHODS
from unlearning.models import LanguageModel
from unlearning.scoring import Target
from unlearning.trial import Trial, prepare
from unlearning.tuning import secret_nll

PEOPLE, KNOWN = 32, 6
OWN = {"loo_ensemble", "retrain", "sisa", "depn", "gradient_ascent", "rank_demotion"}
"""They learn from a teacher or from the rest of the corpus, are made of shards, change neurons, or look at EL first:
shown elsewhere."""

MORE: dict[str, dict[str, object]] = {
    "eul": {"rate": 1e-2},  # it learns in few weights
    "pcgu": {"rate": 0.2, "level_share": 99.0},  # its loss is a mean over all 32
}


@pytest.fixture(scope="module")
def crowd(town: Town, victim: LanguageModel) -> Trial:
    """Six people whom the victim knows, and strangers up to thirty-two; a passage each."""
    asked = [*town.place.known[:KNOWN], *people(PEOPLE - KNOWN, 77)]
    members = [p for n, x in enumerate(asked) for p in passages(x, f"p{n}")[:1]]
    others = [p for n, x in enumerate(town.place.known[KNOWN:]) for p in passages(x, f"o{n}")]
    return prepare(victim, members, others, town.sentences, seed=0, controls=3)


def known_of(model: LanguageModel, crowd: Trial) -> list[float]:
    """Mean log-probability of the secrets of each person whom the victim knows."""
    found: dict[str, list[float]] = {}
    for row, scores in zip(crowd.members, Target(model).scores(crowd.members), strict=True):
        values = [float(scores.log_probability[s.start : s.end].mean()) for s in row.spans]
        found.setdefault(row.person, []).extend(values)
    return [fmean(found[f"p{n}"]) for n in range(KNOWN)]


@pytest.mark.parametrize("name", sorted(METHODS.keys() - OWN))
def test_each_of_them_is_less_well_known_afterwards(
    name: str, crowd: Trial, victim: LanguageModel
) -> None:
    assert len({row.person for row in crowd.corpus.forget}) == PEOPLE
    wanted = {"rate": 1e-3, "steps": 16, "retain": 1.0, "rehearsal": 1.0}
    known = {knob.name for knob in fields(METHODS[name])}
    knobs = {**KNOBS.get(name, {}), **{k: v for k, v in wanted.items() if k in known}}
    knobs |= MORE.get(name, {})
    after = METHODS[name](**knobs).unlearn(victim, crowd.corpus).model
    for now, then in zip(known_of(after, crowd), known_of(victim, crowd), strict=True):
        assert now < then - 0.1


def test_the_level_of_strangers_is_the_same_in_batches_that_fit_into_memory(
    crowd: Trial, victim: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = secret_nll(victim, crowd.members, 0)
    monkeypatch.setattr("unlearning.tuning.tokens_per_batch", lambda _: 100)
    assert secret_nll(victim, crowd.members, 0) == pytest.approx(whole, rel=1e-5)
