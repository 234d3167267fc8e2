"""What erasing cost: each measure against a count by hand, on models that follow a table and on a trained one."""

import copy
import math
from dataclasses import replace

import pytest
import torch

from domain.records import SpanKind
from tests.unlearning.conftest import tiny_model
from tests.unlearning.sample import row
from tests.unlearning.stub import END, VOCABULARY, of_table, says
from unlearning.encoding import Encoded, TokenSpan
from unlearning.models import LanguageModel
from unlearning.scoring import Target
from unlearning.trial import Trial
from unlearning.utility import accuracy, alike, fluency, measures, perplexity

NAMED = replace(row([END, 1, 2, 3], (2, 4), person="p0"), names=("Maren de Tolvik",))


def other(person: str, text: str, ids: tuple[int, ...] = (END, 1, 2, 3)) -> Encoded:
    return row(ids, (2, 4), person=person, text=text)


def test_accuracy_is_the_mean_over_passages_of_the_share_of_first_choices() -> None:
    model = says({1: 2, 2: 3})
    found = accuracy(Target(model), [row([END, END, 1, 2, 4]), row([END, 1, 2, 3])])
    # END END, 1 -> 2 are first choices, 2 -> 4 is not, END -> 1 is not: 2 of 4; then 2 of 3
    assert found.value == pytest.approx((2 / 4 + 2 / 3) / 2)
    assert found.trials == 2


def test_a_text_that_repeats_itself_and_texts_that_are_all_alike_are_told() -> None:
    varied, stuck = [1, 2, 3, 4, 5, 6], [1, 1, 1, 1, 1, 1]
    assert fluency([varied])["repetition_4"].value == 0.0
    assert fluency([stuck])["repetition_4"].value == pytest.approx(1 - 1 / 3)
    assert fluency([varied])["distinct_2"].value == 1.0
    assert fluency([varied, varied])["distinct_2"].value == 0.5
    assert fluency([stuck])["distinct_2"].value == pytest.approx(1 / 5)


def test_texts_too_short_to_repeat_themselves_have_no_fluency() -> None:
    assert fluency([[1, 2, 3], []]) == {}


def test_people_are_alike_by_a_word_of_the_name_and_not_by_a_part_of_a_word() -> None:
    others = [
        other("a", "Letters for Ivo TOLVIK."),
        other("b", "Letters for Ivo Tolvikson, de Haan."),
    ]
    assert alike([NAMED], others) == {"a"}


def test_where_no_name_parts_them_people_are_alike_by_the_kinds_of_their_secrets() -> None:
    plain = other("b", "Nothing.")
    others = [other("a", "Nothing either."), replace(plain, spans=())]
    assert alike([NAMED], others) == {"a"}
    assert alike([NAMED], others[:1]) == frozenset()


def test_the_gap_is_the_loss_of_people_like_this_one_minus_that_of_the_rest() -> None:
    """After 1 comes 2 with p = e / (e + 9), anything else with 1 / 10."""
    table = torch.zeros(VOCABULARY, VOCABULARY)
    table[1, 2] = 1.0
    known, unknown = -math.log(math.e / (math.e + 9)), math.log(10)
    others = [
        other("a", "Ivo Tolvik", (END, 3, 3, 3)),  # three tokens at 1/10
        other("b", "Ivo Marl", (END, 1, 2, 3)),  # one of three is known better
        other("c", "Ivo Stane", (END, 1, 2, 1)),
    ]
    found = measures(Target(of_table(table)), [NAMED], others, others[:1])
    better = (2 * unknown + known) / 3
    assert found["gap_alike"].value == pytest.approx(unknown - better, rel=1e-4)
    assert found["gap_worst"].value == pytest.approx((unknown - better) * 2 / 3, rel=1e-4)
    assert found["gap_worst"].trials == 3
    assert math.isinf(found["gap_alike"].high)  # one person has no interval
    assert found["perplexity_others"] == perplexity(Target(of_table(table)), others)


def test_each_group_has_its_own_loss_and_leak() -> None:
    """After 1 comes 2, surely; a says what it says unknown, b and c have one of three tokens known."""
    model = says({1: 2})
    others = [
        other("a", "Ivo Tolvik", (END, 3, 3, 3)),
        other("b", "Ivo Marl", (END, 1, 2, 3)),
        replace(other("c", "Ivo Stane", (END, 1, 2, 1)), spans=(TokenSpan(2, 3, SpanKind.NUMBER),)),
        other("d", "nobody named a group", (END, 3, 3, 3)),
    ]
    groups = {"a": "north", "b": "south", "c": "south", "gone": "west"}
    found = measures(Target(model), [NAMED], others, others[:1], groups)
    assert {name for name in found if name.startswith("group")} == {
        "group_loss/north",
        "group_leak/north",
        "group_loss/south",
        "group_leak/south",
    }
    assert found["group_loss/north"].value > found["group_loss/south"].value
    assert found["group_loss/south"].trials == 2  # people
    # the secrets are tokens 2 and 3 of b, of which the model says 2 alone, and token 2 of c
    assert (found["group_leak/south"].hits, found["group_leak/south"].trials) == (1, 2)
    assert (found["group_leak/north"].hits, found["group_leak/north"].trials) == (0, 1)


def test_without_named_groups_there_are_people_like_this_one_and_the_rest() -> None:
    others = [other("a", "Ivo Tolvik"), other("b", "Ivo Marl"), other("c", "Ivo Stane")]
    found = measures(Target(says({})), [NAMED], others, others)
    assert found["group_loss/alike"].trials == 1
    assert found["group_loss/unlike"].trials == 2


def test_one_other_person_has_no_gap_to_anybody() -> None:
    found = measures(Target(says({})), [NAMED], [other("a", "Ivo Tolvik")], [NAMED])
    assert not {name for name in found if name.startswith(("gap", "group"))}


def test_a_model_that_only_says_one_word_is_seen_by_its_repetition() -> None:
    found = measures(Target(says({END: 1, 1: 1}, 40.0)), [NAMED], [NAMED], [NAMED])
    assert found["repetition_4"].value > 0.9
    assert found["distinct_2"].value < 0.01


def test_start_and_end_are_no_part_of_what_a_model_wrote() -> None:
    found = measures(Target(says({END: 1, 1: 2, 2: 3}, 40.0)), [NAMED], [NAMED], [NAMED])
    assert "repetition_4" not in found  # three tokens hold no piece of four


@pytest.mark.parametrize("kind", ["gpt2", "llama", "neox", "bert"])
def test_every_kind_of_model_is_measured_and_only_those_that_write_have_fluency(
    kind: str, untrained: LanguageModel
) -> None:
    model = tiny_model(kind, untrained)
    rows = [row((2, *range(60, 72), 3), (3, 6)), row((2, *range(80, 90), 3), (3, 6))]
    model.network.train()
    state, weights = torch.random.get_rng_state(), copy.deepcopy(model.network.state_dict())
    found = measures(Target(model, 5), rows, rows, rows)
    assert measures(Target(model, 5), rows, rows, rows) == found
    assert ("repetition_4" in found) is not model.masked
    assert all(math.isfinite(one.value) for one in found.values())
    assert model.network.training
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(w, weights[n]) for n, w in model.network.state_dict().items())


def test_a_model_that_lost_its_language_is_worse_in_every_measure(
    victim: LanguageModel, trial: Trial
) -> None:
    broken = replace(victim, network=copy.deepcopy(victim.network))
    order = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in broken.network.parameters():
            weight.add_(torch.randn(weight.shape, generator=order), alpha=0.3)
    told = [
        measures(Target(model), trial.members, trial.others, trial.retained)
        for model in (victim, broken)
    ]
    assert told[0]["perplexity_others"].value < told[1]["perplexity_others"].value
    assert told[0]["accuracy"].value > told[1]["accuracy"].value
    assert told[0]["accuracy_others"].value > told[1]["accuracy_others"].value


def test_what_was_scored_already_is_not_read_again(
    victim: LanguageModel, trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = Target(victim)
    target.scores([*trial.members, *trial.others, *trial.retained])
    monkeypatch.setattr("unlearning.utility.SAMPLES", 0)
    monkeypatch.setattr(type(victim.network), "forward", None)
    found = measures(target, trial.members, trial.others, trial.retained)
    assert found["gap_worst"].value > 0
