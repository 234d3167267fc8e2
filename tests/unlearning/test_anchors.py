"""What a stranger's passage predicts in the places of the person's secrets."""

import random
from dataclasses import replace

import pytest
import torch

from domain.errors import Code, UnlearningFailed
from unlearning.anchors import Anchors
from unlearning.models import LanguageModel
from unlearning.trial import Trial


def test_labels_are_the_prediction_for_a_strangers_token_in_the_same_place(
    victim: LanguageModel, trial: Trial
) -> None:
    corpus = trial.corpus
    anchors = Anchors(victim, corpus)
    row, span = corpus.forget[0], corpus.forget[0].spans[1]
    twins = [r for r in corpus.controls if len(r.spans) == len(row.spans)]
    fitting = [
        (r, r.spans[1])
        for r in twins
        if r.spans[1].end - r.spans[1].start == span.end - span.start
        and r.text.split()[0][:3] == row.text.split()[0][:3]
    ]
    labels = anchors.of([row], 1, victim.device)[0]  # (P, V)
    with torch.no_grad():
        said = [
            victim.network(input_ids=torch.tensor([r.ids])).logits[0].softmax(-1)
            for r, _ in fitting
        ]
    close = [
        torch.allclose(labels[span.start - 1 : span.end - 1], p[s.start - 1 : s.end - 1], atol=1e-5)
        for p, (_, s) in zip(said, fitting, strict=True)
    ]
    assert any(close)


def test_labels_stand_on_sensitive_tokens_and_nowhere_else(
    victim: LanguageModel, trial: Trial
) -> None:
    anchors = Anchors(victim, trial.corpus)
    rows = trial.corpus.forget
    mass = anchors.of(rows, 1, victim.device).sum(-1)  # (B, P)
    for row, sums in zip(rows, mass, strict=True):
        marked = torch.tensor(row.sensitive[1:]).float()
        assert torch.allclose(sums[: len(marked)], marked, atol=1e-4)


def test_without_a_counterpart_for_every_secret_there_is_no_anchor(
    victim: LanguageModel, trial: Trial
) -> None:
    order = random.Random(0)
    few = [replace(r, spans=r.spans[: order.randint(0, 1)]) for r in trial.corpus.controls]
    with pytest.raises(UnlearningFailed) as refused:
        Anchors(victim, replace(trial.corpus, controls=tuple(few)))
    assert refused.value.code is Code.NO_CONTROLS


def test_the_method_learns_from_other_strangers_than_those_it_is_judged_against(
    trial: Trial,
) -> None:
    assert not {r.ids for r in trial.controls if r.spans} & {
        r.ids for r in trial.corpus.controls if r.spans
    }
