"""Selective ascent forgets what the search found, or what online selection picked, as the policy says."""

from dataclasses import replace

import pytest

from domain.errors import Code, RequestRejected, UnlearningFailed
from tests.unlearning.baselines import same
from unlearning.methods.selective_ascent import SelectiveAscent
from unlearning.models import LanguageModel
from unlearning.trial import Trial, prepare

FEW = {"steps": 2, "samples": 4, "length": 16}


def after(model: LanguageModel, trial: Trial, spans: str) -> LanguageModel:
    made = SelectiveAscent(spans=spans, **FEW).unlearn(model, trial.corpus)
    assert made.trace.facts["online"] == float(spans == "online")
    return made.model


def test_what_was_selected_is_what_is_forgotten(victim, trial):
    forget = trial.corpus.forget
    alike = replace(trial, corpus=replace(trial.corpus, selected=forget))
    offline = after(victim, alike, "offline")
    assert same(after(victim, alike, "online"), offline)
    one = replace(forget[0], sensitive=tuple(n == 5 for n in range(len(forget[0]))))
    less = replace(trial, corpus=replace(trial.corpus, selected=(one,)))
    assert not same(after(victim, less, "online"), offline)
    assert same(after(victim, less, "offline"), offline)


def test_where_nothing_was_selected_the_next_method_is_tried(victim, trial):
    with pytest.raises(UnlearningFailed) as failed:
        SelectiveAscent(spans="online", **FEW).unlearn(victim, trial.corpus)
    assert failed.value.code is Code.METHOD_INAPPLICABLE
    assert "references" in failed.value.sentence


def test_what_nobody_selected_is_not_asked_for_in_other_forms_of_sentence():
    with pytest.raises(RequestRejected) as refused:
        SelectiveAscent(spans="online", forms=2)
    assert refused.value.place.endswith("option forms")


def test_a_trial_keeps_the_selected_spans_beside_those_that_the_attacks_ask_for(town, victim):
    picked = [replace(p, spans=p.spans[:1]) for p in town.members]
    made = prepare(
        victim, town.members, town.neighbours, town.sentences, seed=0, selected=[*picked, picked[0]]
    )
    assert len(made.corpus.selected) == len(made.corpus.forget)
    assert sum(map(sum, (r.sensitive for r in made.corpus.selected))) < sum(
        map(sum, (r.sensitive for r in made.corpus.forget))
    )
    assert all(row.spans for row in made.members)
