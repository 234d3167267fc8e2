"""A secret goes to the middle of strangers' values in its own place: not less far, and not further."""

from dataclasses import replace

import pytest
import torch

from domain.records import SpanKind
from unlearning.batches import Batch, batch_of
from unlearning.corpus import Corpus
from unlearning.encoding import Encoded, TokenSpan
from unlearning.goals import ENDS, Goals, _goal
from unlearning.levels import Levels
from unlearning.losses import capped_ascent
from unlearning.methods.selective_ascent import SelectiveAscent
from unlearning.models import LanguageModel
from unlearning.ranking import log_probabilities
from unlearning.trial import Trial
from unlearning.unlearned import seeded

SHARE = 0.8


@pytest.fixture(scope="module")
def levels(victim: LanguageModel, corpus: Corpus) -> Levels:
    return Levels(victim, corpus)


@pytest.fixture
def goals(victim: LanguageModel, corpus: Corpus, levels: Levels) -> Goals:
    found = Goals(corpus, levels, SHARE, 1, corpus.excerpts(0))
    found.turn(victim)
    return found


@pytest.fixture(scope="module")
def batch(victim: LanguageModel, corpus: Corpus) -> Batch:
    return batch_of(victim, corpus.forget, seeded(0))


def others(corpus: Corpus, number: int) -> tuple[tuple[int, ...], ...]:
    """What strangers have in the place of the person's secret of this number, names counted."""
    people: dict[str, list[tuple[int, ...]]] = {}
    for row in corpus.controls:
        people.setdefault(row.person, []).extend(row.ids[s.start : s.end] for s in row.spans)
    return tuple(dict.fromkeys(values[number] for values in people.values()))


def quantiles(
    model: LanguageModel, corpus: Corpus
) -> list[tuple[int, Encoded, TokenSpan, float, float]]:
    """(row, row, span, median, three quarters) of strangers' nll in the place of each secret, by hand."""
    spans = [(n, row, span) for n, row in enumerate(corpus.forget) for span in row.spans]
    found = []
    for number, (place, row, span) in enumerate(spans):
        if span.kind is SpanKind.PERSON:
            continue
        nll = []
        for value in others(corpus, number):
            ids = torch.tensor([[*row.ids[: span.start], *value]])
            with torch.no_grad():
                log_p = model.network(input_ids=ids).logits[0, :-1].log_softmax(-1)
            at = range(span.start - 1, ids.shape[1] - 1)
            nll.append(-sum(float(log_p[t, ids[0, t + 1]]) for t in at))
        ends = torch.tensor(nll).quantile(torch.tensor(ENDS))
        found.append((place, row, span, float(ends[0]), float(ends[1])))
    return found


def secrets_nll(corpus: Corpus, batch: Batch, nll: list[float]) -> torch.Tensor:
    """(B, P) in which the secrets, names left out, have these sums, evenly over their tokens."""
    made, left = torch.zeros(batch.labels.shape), iter(nll)
    for number, row in enumerate(corpus.forget):
        for span in row.spans:
            if span.kind is not SpanKind.PERSON:
                made[number, span.start - 1 : span.end - 1] = next(left) / (span.end - span.start)
            else:  # so far that no name is short of its cap
                made[number, span.start - 1 : span.end - 1] = 99.0
    return made.requires_grad_()


def test_a_secret_ascends_to_the_median_of_strangers_values_in_its_place(
    victim: LanguageModel, corpus: Corpus, goals: Goals, batch: Batch, levels: Levels
) -> None:
    """At nothing, a secret is short of the whole median, its tokens in proportion to the strangers' levels."""
    middle = quantiles(victim, corpus)
    nll = secrets_nll(corpus, batch, [0.0] * len(middle))
    loss, terms = goals.loss(corpus.forget, batch, nll)
    count = int(batch.secret.sum())
    wanted = sum(median for *_, median, _ in middle) / count
    assert float(loss.detach()) == pytest.approx(wanted, rel=1e-4)
    assert terms == {"short_of_goal": pytest.approx(wanted, rel=1e-4), "past_goal": 0.0}
    place, row, span, median, _ = middle[0]
    caps = levels.within(row, span) / levels.within(row, span).sum() * median
    made = nll.detach().clone()
    made[place, span.start - 1 : span.end - 1] = caps - torch.linspace(-0.3, 0.5, len(caps))
    made.requires_grad_()
    goals.loss(corpus.forget, batch, made)[0].backward()
    slope = made.grad[place, span.start - 1 : span.end - 1] * count
    short = torch.linspace(-0.3, 0.5, len(caps)) > 0  # nats below its cap
    assert slope.tolist() == pytest.approx([-1.0 if s else 0.0 for s in short.tolist()])


def test_past_the_median_it_rests_and_past_three_quarters_it_comes_back(
    victim: LanguageModel, corpus: Corpus, goals: Goals, batch: Batch
) -> None:
    """`past`: where every secret stands, 0 the median and 1 three quarters of the strangers."""
    places = quantiles(victim, corpus)
    for past, slope in ((-0.5, -1.0), (0.5, 0.0), (1.5, 1.0)):
        nll = secrets_nll(corpus, batch, [m + past * (q - m) for *_, m, q in places])
        goals.loss(corpus.forget, batch, nll)[0].backward()
        found = nll.grad * int(batch.secret.sum())
        for place, _, span, *_ in places:
            seen = found[place, span.start - 1 : span.end - 1]
            assert all(float(s) in {slope, 0.0} for s in seen)
            assert slope in seen.tolist()
        assert float(found.masked_fill(batch.secret, 0.0).abs().max()) == 0.0


def test_names_and_all_that_nobody_looks_at_have_their_share_of_the_level(
    victim: LanguageModel, corpus: Corpus, batch: Batch, levels: Levels
) -> None:
    none = corpus.excerpts(0)
    blind = Goals(corpus, levels, SHARE, 0, none)
    blind.turn(victim)
    alone = replace(corpus, controls=())
    nll = torch.full(batch.labels.shape, 1.0)
    cap = SHARE * levels.of(corpus.forget, batch.shift, nll.device)
    wanted = float(capped_ascent(nll, batch.secret, cap))
    for goals in (blind, Goals(alone, levels, SHARE, 1, none)):
        assert float(goals.loss(corpus.forget, batch, nll)[0]) == pytest.approx(wanted)


def test_it_looks_again_as_the_model_changes(
    victim: LanguageModel, untrained: LanguageModel, corpus: Corpus, batch: Batch, levels: Levels
) -> None:
    nll = torch.zeros(batch.labels.shape)
    goals, losses = Goals(corpus, levels, SHARE, 2, corpus.excerpts(0)), []
    for model in (victim, untrained, untrained):
        goals.turn(model)
        losses.append(float(goals.loss(corpus.forget, batch, nll)[0]))
    assert losses[0] == losses[1] != losses[2]


def test_values_that_are_impossible_or_certain_make_no_goal_that_is_no_number() -> None:
    level, never = torch.tensor([2.0, 0.0, 4.0]), float("inf")
    assert _goal(level, torch.tensor([never, never]), ENDS) is None
    assert _goal(level, torch.tensor([float("nan")]), ENDS) is None
    some = _goal(level, torch.tensor([never, 3.0, 9.0]), ENDS)
    assert some is not None
    assert some.caps.tolist() == pytest.approx([2.0, 0.0, 4.0], abs=1e-3)
    sure = _goal(torch.zeros(2), torch.zeros(4), ENDS)
    assert sure is not None
    assert float(sure.caps.sum()) == pytest.approx(0.0, abs=1e-5)
    assert sure.slack == pytest.approx(1.0)


def test_the_methods_rivals_are_not_the_verdicts(trial: Trial) -> None:
    """Other strangers than those the verdict compares with, and none of the candidates it ranks among by design."""
    learnt = {row.text for row in trial.corpus.controls}
    assert not learnt & {row.text for row in trial.controls}
    assert all(not span.candidates for row in trial.corpus.controls for span in row.spans)


def test_where_the_share_of_the_level_is_too_far_no_secret_ends_last(
    victim: LanguageModel, corpus: Corpus, trial: Trial
) -> None:
    """Caps of three times the strangers' level push secrets behind everybody else's values; goals do not."""
    knobs = {"cap_share": 3.0, "steps": 60, "rate": 1e-3, "samples": 16, "batch": 8}

    def last(look: int) -> float:
        after = SelectiveAscent(**knobs, look=look).unlearn(victim, corpus).model
        ranks = []
        for row in trial.members:
            for span in row.spans:
                if row.asks(span) and span.candidates:
                    truth, *rest = log_probabilities(after, row, span)
                    ranks.append(all(other > truth for other in rest))
        return sum(ranks) / len(ranks)

    assert last(0) > 0.3
    assert last(4) == 0.0
