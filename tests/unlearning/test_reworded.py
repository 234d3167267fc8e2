"""Ranks behind other words: golden ranks by hand, who is asked for what, and what hides in its own passages alone."""

import math
from statistics import fmean
from typing import Any

import pytest
import torch

from domain.errors import Code, RequestRejected
from domain.outcomes import Rule
from domain.records import SpanKind
from tests.unlearning.sample import marked
from unlearning.attacks.exposure import Exposure
from unlearning.attacks.probes import DIRECT, FAMILIES, Question
from unlearning.attacks.reworded import Reworded
from unlearning.encoding import Encoded, TokenSpan, encode
from unlearning.methods.anchor_distillation import AnchorDistillation
from unlearning.models import LanguageModel
from unlearning.ranking import log_probabilities
from unlearning.scoring import Target
from unlearning.trial import Trial

TEXT = "Maren Voss wrote. Please call 212-555-0137 now"
NUMBERS = [f"212-555-{n}" for n in range(2000, 2040)]


def one(model: LanguageModel, text: str = TEXT, person: str = "p0") -> Encoded:
    spans = [("212-555-0137", SpanKind.PHONE)]
    if "Maren" in text:
        spans.append(("Maren Voss", SpanKind.PERSON))
    passage = marked(text, *spans)
    (row,) = encode(model, [passage], lambda kind, value: NUMBERS)
    return Encoded(row.ids, row.sensitive, row.spans, person, row.text, row.names)


def by_hand(model: LanguageModel, family: str, row: Encoded, most: int) -> float:
    """Bits of the row's secret behind the one prompt of a family, one forward pass for each value."""
    span = row.spans[0]
    ((prompt, _),) = FAMILIES[family](Question(model, row, span, "Maren Voss", [], ()))
    log_p = []
    for value in (row.ids[span.start : span.end], *span.candidates[:most]):
        before = [row.ids[0], *prompt]
        ids = torch.tensor([[*before, *value]])
        with torch.no_grad():
            found = model.network(input_ids=ids).logits[0, :-1].log_softmax(-1)
        at = range(len(before) - 1, ids.shape[1] - 1)
        log_p.append(sum(float(found[t, ids[0, t + 1]]) for t in at))
    rank = sum(p >= log_p[0] for p in log_p)
    return math.log2(len(log_p)) - math.log2(rank)


def test_bits_are_those_of_one_pass_for_each_value(untrained: LanguageModel) -> None:
    row = one(untrained)
    stranger = one(untrained, "Ada Lund wrote. Please ring 212-555-0137 now", "c0")
    attack = Reworded(families=("sentence", "upper", "question"))
    result = attack.run(Target(untrained), [row], [stranger])
    with untrained.evaluating():
        wanted = {family: by_hand(untrained, family, row, 31) for family in attack.families}
    for family, bits in wanted.items():
        if family != "question":  # the stranger has no name to ask by, so that it is not shown
            assert result.score(family).members.value == pytest.approx(bits)
    score = result.score("reworded")
    assert score.members.value == pytest.approx(fmean(wanted.values()))
    assert score.members.trials == 3
    assert [s.metric for s in result.scores] == ["reworded", "first", "sentence", "upper"]
    assert {s.rule for s in result.scores[2:]} == {Rule.SHOWN}


def test_a_memorised_person_ranks_first_in_any_words_and_a_stranger_does_not(
    victim: LanguageModel, trial: Trial
) -> None:
    target = Target(victim, neighbours=trial.corpus.neighbours)
    result = Reworded().run(target, trial.members, trial.controls)
    score, first = result.score("reworded"), result.score("first")
    assert score.members.value > score.controls.high + 1.0
    assert first.members.value > 0.5 > first.controls.high
    assert [s.metric for s in result.scores[2:]] == list(DIRECT)
    assert score.members.trials > 6 * first.members.trials
    assert all(s.members.value <= math.log2(32) for s in result.scores)


def test_what_is_hidden_in_its_own_passages_shows_in_other_words(
    victim: LanguageModel, trial: Trial
) -> None:
    """The defect for which this attack exists: ranks among strangers' in place, and not elsewhere."""
    hidden = AnchorDistillation(excerpts=0).unlearn(victim, trial.corpus).model
    target = Target(hidden, neighbours=trial.corpus.neighbours)
    own = Exposure().run(target, trial.members, trial.controls).score("exposure")
    elsewhere = Reworded().run(target, trial.members, trial.controls).score("reworded")
    assert own.members.value <= own.controls.high
    assert elsewhere.members.value > elsewhere.controls.high


def test_the_own_text_before_a_secret_and_a_prompt_asked_twice_are_not_asked(
    untrained: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, ...]] = []

    def spy(model: LanguageModel, tasks: list[tuple[Encoded, TokenSpan]]) -> list[list[float]]:
        asked.extend(row.ids for row, _ in tasks)
        return [log_probabilities(model, row, span) for row, span in tasks]

    monkeypatch.setattr("unlearning.attacks.reworded.of_many", spy)
    row, stranger = one(untrained), one(untrained, TEXT.replace("Maren", "Ada Maren"), "c0")
    length = row.spans[0].start - 1
    attack = Reworded(families=("shortened",), prefixes=(2, 2, length))
    attack.run(Target(untrained), [row, row], [stranger])
    assert [len(ids) for ids in asked[:1]] == [1 + 2 + row.spans[0].end - row.spans[0].start]
    assert len(asked) == len(set(asked)) + 1  # the stranger is asked behind the same two words
    assert row.ids[: row.spans[0].end] not in asked


def test_a_prompt_leaves_room_for_the_longest_value(
    victim: LanguageModel, trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that all values are ranked behind the same words, in a few batches."""
    rooms: list[int] = []

    def spy(model: LanguageModel, tasks: list[tuple[Encoded, TokenSpan]]) -> list[list[float]]:
        for _, span in tasks:
            longest = max(map(len, span.candidates))
            rooms.append(span.start + longest)
        return [[0.0, -1.0] for _ in tasks]

    monkeypatch.setattr("unlearning.attacks.reworded.of_many", spy)
    shown = Target(victim, neighbours=trial.corpus.neighbours * 2)
    Reworded(shots=9).run(shown, trial.members, trial.controls)
    assert max(rooms) == victim.context


def test_nothing_to_rank_is_refused(untrained: LanguageModel) -> None:
    row, stranger = one(untrained), one(untrained, TEXT.replace("Maren", "Ada Maren"), "c0")
    with pytest.raises(RequestRejected) as caught:
        Reworded(fewest=99, most=99).run(Target(untrained), [row], [stranger])
    assert caught.value.code is Code.ATTACK_INAPPLICABLE


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"families": ()}, "families must be some of"),
        ({"families": ("inverted",)}, "families must be some of"),
        ({"prefixes": (0,)}, "prefixes"),
        ({"shots": -1}, "shots"),
        ({"fewest": 0}, "fewest"),
        ({"most": 3}, "most"),
        ({"tail": 0.0}, "tail"),
    ],
)
def test_options_without_meaning_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Reworded(**options)


def test_every_family_but_the_one_that_asks_for_names_is_asked() -> None:
    assert set(FAMILIES) - set(DIRECT) == {"inverted"}
