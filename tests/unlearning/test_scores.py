"""Membership, exposure, perplexity and masked scoring against direct transcriptions of their definitions."""

import math
import zlib
from dataclasses import replace

import pytest
import torch

from domain.outcomes import Rule
from tests.unlearning.conftest import tiny_model
from tests.unlearning.sample import row
from tests.unlearning.stub import END, VOCABULARY, of_table
from unlearning.attacks.exposure import Exposure, exposure
from unlearning.attacks.extraction import Extraction
from unlearning.attacks.membership import Membership
from unlearning.encoding import Encoded, TokenSpan
from unlearning.models import LanguageModel
from unlearning.ranking import log_probabilities
from unlearning.scoring import Target, answered
from unlearning.trial import Trial, perplexity


def brute_force(model: LanguageModel, ids: tuple[int, ...]) -> torch.Tensor:
    """(T - 1, V) log-probabilities of one text, alone, without a cache."""
    with torch.no_grad():
        return model.network(input_ids=torch.tensor([ids])).logits[0, :-1].log_softmax(-1)


def test_membership_scores_equal_their_definitions(victim: LanguageModel, trial: Trial) -> None:
    for asked in trial.members:
        log_p = brute_force(victim, asked.ids)
        labels = torch.tensor(asked.ids[1:])
        own = log_p.gather(1, labels[:, None]).squeeze(1)
        mu = (log_p.exp() * log_p).sum(1)
        sigma = (log_p.exp() * (log_p - mu[:, None]) ** 2).sum(1).clamp(min=1e-6).sqrt()
        lowest = int(0.2 * len(own))
        secret = [t - 1 for t, flag in enumerate(asked.sensitive) if flag]
        expected = {
            "loss": -own.mean(),
            "zlib": -own.mean() / len(zlib.compress(asked.text.encode())),
            "mink": -sum(sorted(own.tolist())[:lowest]) / lowest,
            "minkpp": -sum(sorted(((own - mu) / sigma).tolist())[:lowest]) / lowest,
            "secret_loss": -own[secret].mean(),
        }
        (scores,) = Target(victim).scores([asked])
        found = Membership().scores(asked, scores)
        assert found.keys() == expected.keys()
        for metric, value in expected.items():
            assert found[metric] == pytest.approx(float(value), rel=1e-4, abs=1e-6), metric


@pytest.mark.parametrize("kind", ["gpt2", "llama", "neox", "bert"])
def test_exposure_by_cache_equals_exposure_by_brute_force(
    kind: str, untrained: LanguageModel
) -> None:
    model = tiny_model(kind, untrained)
    order = torch.Generator().manual_seed(2)
    values = [
        tuple(torch.randint(30, 400, (n,), generator=order).tolist()) for n in (3, 1, 2, 3, 5, 4, 3)
    ]
    before, after = (0, 44, 45, 46, 47), (48, 49, 2)
    span = TokenSpan(5, 8, row([0], (0, 1)).spans[0].kind, tuple(values[1:]))
    asked = Encoded((*before, *values[0], *after), (False,) * 11, (span,), "p", "")
    by_hand = []
    for value in values:
        ids = (*before, *value, *after)
        if model.masked:
            total = 0.0
            for t in range(5, 5 + len(value)):
                hidden = list(ids)
                hidden[t : 5 + len(value)] = [model.tokenizer.mask_token_id] * (5 + len(value) - t)
                with torch.no_grad():
                    logits = model.network(input_ids=torch.tensor([hidden])).logits[0, t]
                total += float(logits.log_softmax(-1)[ids[t]])
        else:
            log_p = brute_force(model, ids)
            total = sum(float(log_p[t - 1, ids[t]]) for t in range(5, 5 + len(value)))
        by_hand.append(total)
    found = log_probabilities(model, asked, span)
    assert found == pytest.approx(by_hand, abs=1e-4)
    rank = 1 + sum(other >= by_hand[0] for other in by_hand[1:])
    ranked = exposure(Target(model), asked, span)
    assert ranked.bits == pytest.approx(math.log2(len(values)) - math.log2(rank))
    assert ranked.first == (rank == 1)
    assert ranked.last == (rank == len(values))


def test_exposure_on_the_victim_equals_brute_force(victim: LanguageModel, trial: Trial) -> None:
    asked = trial.members[1]
    span = replace(asked.spans[0], candidates=asked.spans[0].candidates[:12])
    values = [asked.ids[span.start : span.end], *span.candidates]
    by_hand = []
    for value in values:
        ids = (*asked.ids[: span.start], *value)
        log_p = brute_force(victim, ids)
        by_hand.append(sum(float(log_p[t - 1, ids[t]]) for t in range(span.start, len(ids))))
    assert log_probabilities(victim, asked, span) == pytest.approx(by_hand, abs=1e-4)


def test_a_tie_ranks_before_the_truth_and_a_truth_that_is_no_number_ranks_first() -> None:
    flat = of_table(torch.zeros(VOCABULARY, VOCABULARY))
    span = TokenSpan(1, 2, row([0], (0, 1)).spans[0].kind, ((3,), (4,), (5,)))
    asked = replace(row([END, 2, 6], (1, 2)), spans=(span,))
    assert exposure(Target(flat), asked, span) == (0.0, False, False)
    broken = of_table(torch.full((VOCABULARY, VOCABULARY), math.nan))
    assert exposure(Target(broken), asked, span) == (2.0, True, False)


def test_a_value_in_several_passages_is_counted_once(victim: LanguageModel, trial: Trial) -> None:
    """Two copies of one value rank alike: as two trials they would make a chance look like a finding."""
    places = [row.ids[s.start : s.end] for row in trial.members for s in row.spans if row.asks(s)]
    assert len(set(places)) < len(places)
    result = Exposure().run(Target(victim), trial.members, trial.controls)
    assert result.score("exposure").members.trials == len(places)
    assert result.score("ranked_first").members.trials == len(set(places))
    assert result.score("ranked_first").members.value == 1.0
    assert result.score("ranked_last").members.hits == 0
    said = Extraction((0, 3)).run(Target(victim), trial.members, trial.controls)
    assert said.score("extraction").members.trials > len(places)
    assert said.score("any_prefix").members.trials == len(set(places))
    assert said.score("any_prefix").members.value == 1.0


def test_values_that_cannot_be_ranked_are_counted(victim: LanguageModel, trial: Trial) -> None:
    """One without others of its form, in every passage, and one at the very start of a text."""
    whole = Exposure().run(Target(victim), trial.members, trial.controls).score("ranked")
    every = whole.members.trials
    assert (whole.members.hits, whole.rule) == (every, Rule.SHOWN)
    assert whole.controls.hits == whole.controls.trials > every
    single = next(s for s in trial.members[0].spans if trial.members[0].asks(s))
    value = trial.members[0].ids[single.start : single.end]

    def without(row: Encoded) -> Encoded:
        made = (
            replace(s, candidates=()) if row.ids[s.start : s.end] == value else s for s in row.spans
        )
        return replace(row, spans=tuple(made))

    start = row([91, 92, 93], (0, 2))
    asked = [*map(without, trial.members), start]
    left = Exposure().run(Target(victim), asked, trial.controls).score("ranked").members
    assert (left.hits, left.trials) == (every - 1, every + 1)


@pytest.mark.parametrize("kind", ["gpt2", "bert"])
def test_candidates_that_do_not_fit_into_the_context_are_asked_with_less_text(
    kind: str, untrained: LanguageModel
) -> None:
    model = tiny_model(kind, untrained)
    full = model.context
    span = TokenSpan(full - 4, full - 1, row([0], (0, 1)).spans[0].kind, (tuple(range(40, 52)),))
    asked = replace(row(range(20, 20 + full), (full - 4, full - 1)), spans=(span,))
    found = log_probabilities(model, asked, span)
    assert all(math.isfinite(value) for value in found)


def test_perplexity_is_the_exponential_of_the_mean_loss_per_token() -> None:
    """After 1 comes 2 with p = e/(e + 9), anything else 1/10."""
    table = torch.zeros(VOCABULARY, VOCABULARY)
    table[1, 2] = 1.0
    rows = [row([END, 1, 2]), row([END, 3])]
    p = math.e / (math.e + 9)
    found = perplexity(Target(of_table(table)), rows)
    assert found.value == pytest.approx(math.exp(-(2 * math.log(0.1) + math.log(p)) / 3), rel=1e-5)
    assert found.trials == 3
    assert found.low < found.value < found.high


def test_masked_scoring_equals_masking_one_token_at_a_time(untrained: LanguageModel) -> None:
    model = tiny_model("bert", untrained)
    tokenizer = model.tokenizer
    ids = (tokenizer.cls_token_id, *range(60, 72), tokenizer.sep_token_id)
    asked = row(ids, (3, 6), (8, 9))
    (scores,) = Target(model).scores([asked])
    ends = {3: 6, 4: 6, 5: 6}
    for t in range(1, len(ids) - 1):
        hidden = list(ids)
        for place in range(t, ends.get(t, t + 1)):
            hidden[place] = tokenizer.mask_token_id
        with torch.no_grad():
            log_p = model.network(input_ids=torch.tensor([hidden])).logits[0, t].log_softmax(-1)
        assert float(scores.log_probability[t]) == pytest.approx(float(log_p[ids[t]]), abs=1e-4)
        assert bool(scores.hit[t]) == (int(log_p.argmax()) == ids[t])
    assert scores.log_probability[[0, -1]].isnan().all()


def test_a_masked_text_is_scored_again_when_its_secret_lies_elsewhere(
    untrained: LanguageModel,
) -> None:
    model = tiny_model("bert", untrained)
    ids = (model.tokenizer.cls_token_id, *range(60, 70), model.tokenizer.sep_token_id)
    target = Target(model)
    (first,), (second,) = (target.scores([row(ids, span)]) for span in ((2, 6), (4, 6)))
    (fresh,) = Target(model).scores([row(ids, (4, 6))])
    assert torch.equal(second.log_probability.nan_to_num(), fresh.log_probability.nan_to_num())
    assert not torch.equal(first.log_probability.nan_to_num(), fresh.log_probability.nan_to_num())


def test_padding_does_not_move_a_score(victim: LanguageModel, trial: Trial) -> None:
    together = Target(victim).scores(trial.members)
    for asked, scores in zip(trial.members, together, strict=True):
        (alone,) = Target(victim).scores([asked])
        torch.testing.assert_close(
            alone.log_probability, scores.log_probability, equal_nan=True, atol=1e-4, rtol=1e-4
        )


def test_extraction_hits_exactly_what_greedy_decoding_says(
    victim: LanguageModel, trial: Trial
) -> None:
    rows = (*trial.members, *trial.others[:4])
    said = trials = 0
    for asked in rows:
        for span in asked.spans:
            for start in {0, max(0, span.start - 50)}:
                whole = victim.network.generate(
                    torch.tensor([asked.ids[start : span.start]]),
                    attention_mask=torch.ones(1, span.start - start, dtype=torch.long),
                    max_new_tokens=span.end - span.start,
                    do_sample=False,
                    pad_token_id=1,
                )[0, span.start - start :]
                said += tuple(whole.tolist()) == asked.ids[span.start : span.end]
                trials += 1
    found = Extraction((0, 50)).rate(Target(victim), rows)
    assert (found.hits, found.trials) == (said, trials)


@pytest.mark.parametrize("kind", ["gpt2", "llama", "neox"])
def test_the_ends_of_texts_are_answered_as_the_whole_pass_says(
    kind: str, untrained: LanguageModel
) -> None:
    model = tiny_model(kind, untrained)
    order = torch.Generator().manual_seed(0)
    asked = []
    for length in (3, 9, 9, 20, 31):
        ids = torch.randint(2, 90, (length,), generator=order)
        start = int(torch.randint(1, length, (1,), generator=order))
        with torch.no_grad():
            for t in range(start, length - (length == 9)):  # most are right to the end, one is not
                ids[t] = model.network(input_ids=ids[None, :t]).logits[0, -1].argmax()
        asked.append((tuple(ids.tolist()), start))
    expected = []
    for ids, start in asked:
        with torch.no_grad():
            best = model.network(input_ids=torch.tensor([ids])).logits[0].argmax(-1)
        expected.append(best[start - 1 : -1].tolist() == list(ids[start:]))
    assert answered(model, asked) == expected
    assert set(expected) == {True, False}
