"""What a stranger's passage predicts in the places of the person's secrets."""

import random
from dataclasses import replace

import pytest
import torch

from domain.errors import Code, UnlearningFailed
from domain.records import SpanKind
from unlearning.anchors import Anchors, Generic
from unlearning.encoding import Encoded
from unlearning.fine_tuning import fine_tuned
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


def logits_of(model: LanguageModel, row: Encoded) -> torch.Tensor:
    with torch.no_grad():
        return model.network(input_ids=torch.tensor([row.ids])).logits[0]


def test_what_the_reinforced_model_raises_is_lowered_by_the_papers_formula(
    victim: LanguageModel, untrained: LanguageModel, trial: Trial
) -> None:
    """v_generic = v - alpha * ReLU(v_reinforced - v_base), here with v = v_base, token by token."""
    row = trial.corpus.forget[0]
    span = row.spans[1]
    labels = Anchors(victim, trial.corpus, Generic(untrained, 2.5, fictitious=False))
    found = labels.of([row], 1, victim.device)[0]
    base, reinforced = logits_of(victim, row), logits_of(untrained, row)
    for t in range(span.start, span.end):
        v = [
            b - 2.5 * max(r - b, 0.0)
            for b, r in zip(base[t - 1].tolist(), reinforced[t - 1].tolist(), strict=True)
        ]
        assert torch.allclose(found[t - 1], torch.tensor(v).softmax(-1), atol=1e-5)


def test_reinforcement_alone_leaves_the_secret_in_the_labels_and_a_stranger_does_not(
    victim: LanguageModel, trial: Trial
) -> None:
    """Known by heart, nothing is left to raise (reference measurement: 95 to 100 % of the labels are the secret)."""
    corpus = trial.corpus
    more = fine_tuned(victim, [list(corpus.forget)] * 20, 1e-4, 0)

    def true(anchors: Anchors) -> float:
        hits = [
            bool(labels[t - 1].argmax() == row.ids[t])
            for row in corpus.forget
            for labels in [anchors.of([row], 1, victim.device)[0]]
            for span in row.spans
            if span.kind is not SpanKind.PERSON
            for t in range(span.start, span.end)
        ]
        return sum(hits) / len(hits)

    assert true(Anchors(victim, corpus, Generic(more, 1.0, fictitious=False))) > 0.9
    assert true(Anchors(victim, corpus, Generic(more, 5.0))) < 0.5
    assert true(Anchors(victim, corpus)) < 0.5
