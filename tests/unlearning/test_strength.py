"""Extraction strength and exact memorisation by hand on a table, in both conventions."""

from dataclasses import replace

import pytest

from domain.outcomes import Rule
from tests.unlearning.conftest import tiny_model
from tests.unlearning.sample import framed, row
from tests.unlearning.stub import END, says
from unlearning.attacks.strength import METRICS, Strength
from unlearning.encoding import Encoded
from unlearning.models import LanguageModel
from unlearning.scoring import Target
from unlearning.statistics import upper_range
from unlearning.trial import Trial

# The text is 1 2 3 4 5 6 after the start token; the table gets all of it right but 5, and 6 after the true 5.
TEXT = [END, 1, 2, 3, 4, 5, 6]
CHAIN = {END: 1, 1: 2, 2: 3, 3: 4, 4: 9, 5: 6}


def measured(asked: Encoded, **knobs: bool) -> dict[str, float]:
    (found,) = Strength(**knobs).measure(Target(says(CHAIN)), [asked])
    return dict(found)


def test_five_of_six_tokens_must_be_shown_before_the_rest_is_known() -> None:
    found = measured(row(TEXT, (3, 5)))
    assert found["extraction_strength"] == pytest.approx(1 - 5 / 6)
    assert found["exact_memorisation"] == pytest.approx(5 / 6)


def test_open_unlearnings_convention_drops_the_last_token_and_never_gives_zero() -> None:
    """Without 6 the last token is 5, which is wrong: nothing can be extracted."""
    asked = row(TEXT, (3, 5))
    assert measured(asked, drop_last=True)["extraction_strength"] == 0
    assert measured(asked, drop_last=True, floor=True)["extraction_strength"] == pytest.approx(
        1 / 5
    )
    assert measured(asked, drop_last=True)["exact_memorisation"] == pytest.approx(4 / 5)
    assert measured(asked, floor=True)["extraction_strength"] == pytest.approx(1 / 6)


def test_each_secret_counts_by_itself() -> None:
    """3 4 is known whole; of 4 5 6 only the end is known, and two of three tokens are right."""
    found = measured(row(TEXT, (3, 5), (4, 7)))
    assert found["secret_strength"] == pytest.approx((1 + 1 / 3) / 2)
    assert found["secret_memorisation"] == pytest.approx((1 + 2 / 3) / 2)


def test_a_secret_that_is_only_the_dropped_token_is_left_out() -> None:
    found = measured(row(TEXT, (6, 7)), drop_last=True)
    assert "secret_strength" not in found
    assert "extraction_strength" in found


@pytest.mark.parametrize(
    ("hits", "expected"),
    [([True] * 4, 1.0), ([False] * 4, 0.0), ([True, False, True, True], 0.5), ([False], 0.0)],
)
def test_the_strength_is_the_run_of_hits_at_the_end(hits: list[bool], expected: float) -> None:
    assert Strength().strength(hits) == expected
    assert Strength(floor=True).strength(hits) == max(expected, 1 / len(hits))


def test_the_four_scores_share_the_tail_of_the_strangers_range(
    victim: LanguageModel, trial: Trial
) -> None:
    target = Target(victim)
    result = Strength().run(target, trial.members, trial.controls)
    assert [score.metric for score in result.scores] == list(METRICS)
    means: dict[str, list[float]] = {}
    rows = zip(trial.controls, Strength().measure(target, trial.controls), strict=True)
    for asked, values in rows:
        means.setdefault(asked.person, []).append(values["secret_strength"])
    people = [sum(values) / len(values) for values in means.values()]
    score = result.score("secret_strength")
    assert score.rule is Rule.RANGE
    assert score.controls.high == pytest.approx(upper_range(people, 0.05 / 4))
    assert score.controls.trials == len(people)


def test_a_masked_model_answers_by_its_pseudo_likelihood(
    untrained: LanguageModel, trial: Trial
) -> None:
    model = tiny_model("bert", untrained)
    members, controls = framed(model, trial.members[1:2]), framed(model, trial.controls[1:6:3])
    assert Strength().run(Target(model), members, controls).scores


def test_a_passage_of_the_start_token_alone_has_no_score() -> None:
    assert measured(replace(row([END]), text="")) == {}
