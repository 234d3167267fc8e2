"""The verdict: fails closed, and on the real victim tells forgetting from doing nothing."""

import math
from dataclasses import replace

import pytest

from domain.errors import Code, UnlearningFailed
from domain.outcomes import (
    Assessment,
    AttackResult,
    Estimate,
    Outcome,
    Rule,
    Score,
    Utility,
    Verdict,
    carries_a_pass,
)
from tests.unlearning.conftest import CORE, SEED, Town
from unlearning.attacks import ATTACKS
from unlearning.methods import METHODS
from unlearning.models import LanguageModel
from unlearning.trial import Trial, assess, prepare
from unlearning.verdict import REFERENCE_BOUNDS, Thresholds, judge, memorised

BOUNDS = Thresholds(0.0, 0.0, 0.0, 0.05, 0.2, 3, 1.05, 0.10)


def estimate(value: float, low: float, high: float) -> Estimate:
    return Estimate(value, low, high, 30, round(30 * value) if math.isfinite(value) else None)


def measured(
    *,
    extraction: float = 0.0,
    exposure: float = 1.4,
    first: float = 0.0,
    last: float = 0.0,
    area: tuple[float, float, float] = (0.5, 0.35, 0.65),
    perplexity: float = 10.0,
    others: float = 0.9,
) -> Assessment:
    stranger = estimate(0.0, 0.0, 0.03)
    return Assessment(
        "0" * 64,
        (
            AttackResult(
                "extraction",
                (
                    Score(
                        "extraction",
                        "secrets",
                        estimate(extraction, 0, 1),
                        stranger,
                        rule=Rule.RATE,
                    ),
                ),
            ),
            AttackResult("memorisation", (Score("ma", "share", stranger, stranger),)),
            AttackResult(
                "exposure",
                (
                    Score(
                        "exposure",
                        "bits",
                        estimate(exposure, 0, 7),
                        estimate(1.4, 0.5, 2.4),
                        rule=Rule.RANGE,
                    ),
                    Score(
                        "ranked_first", "values", estimate(first, 0, 1), stranger, rule=Rule.FIRST
                    ),
                    Score("ranked_last", "values", estimate(last, 0, 1), stranger, rule=Rule.FIRST),
                ),
            ),
            AttackResult(
                "membership",
                (
                    Score(
                        "loss", "passages", stranger, stranger, estimate(*area), rule=Rule.CONTRAST
                    ),
                ),
            ),
        ),
        Utility(estimate(perplexity, 9, 11), estimate(others, 0.8, 1)),
        1.0,
    )


KNOWN = measured(extraction=1.0, exposure=7.0, first=1.0, area=(1.0, 0.9, 1.0))
FORGOTTEN = measured()


def verdict(before: Assessment, after: Assessment) -> Verdict:
    return judge(before, after, BOUNDS, required=CORE)


def failed(found: Verdict) -> set[str]:
    return {c.name for c in found.checks if c.outcome in (Outcome.FAIL, Outcome.NOT_RUN)}


def test_what_was_known_and_is_not_any_more_passes() -> None:
    assert verdict(KNOWN, FORGOTTEN).outcome is Outcome.PASS
    assert memorised(KNOWN, BOUNDS)


def test_a_method_that_only_suppresses_never_passes_where_that_is_not_enough() -> None:
    found = judge(KNOWN, FORGOTTEN, BOUNDS, required=CORE, suppressed=True)
    assert found.outcome is Outcome.INCONCLUSIVE
    (check,) = [c for c in found.checks if c.reason == "suppressed"]
    assert check.name == "deletion"
    assert not carries_a_pass((c.name, c.outcome) for c in found.checks)
    broken = judge(KNOWN, KNOWN, BOUNDS, required=CORE, suppressed=True)
    assert broken.outcome is Outcome.FAIL


def test_a_verdict_names_the_checks_for_which_it_is_no_pass() -> None:
    assert verdict(KNOWN, FORGOTTEN).hindered_by == ()
    found = verdict(KNOWN, measured(exposure=2.5, others=0.5))
    assert found.hindered_by == ("exposure", "others")


def test_nothing_memorised_is_inconclusive() -> None:
    found = verdict(FORGOTTEN, FORGOTTEN)
    assert found.outcome is Outcome.INCONCLUSIVE
    assert found.hindered_by == ("memorised_before",)
    assert not memorised(FORGOTTEN, BOUNDS)


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"extraction": 0.05}, "extraction"),
        ({"exposure": 2.5}, "exposure"),
        ({"first": 0.2}, "ranked_first"),
        ({"last": 0.2}, "ranked_last"),
        ({"area": (0.95, 0.71, 1.0)}, "membership_loss"),
        ({"area": (0.05, 0.0, 0.29)}, "membership_loss"),
        ({"perplexity": 10.6}, "perplexity"),
        ({"others": 0.79}, "others"),
        ({"extraction": math.nan}, "extraction"),
        ({"exposure": math.nan}, "exposure"),
        ({"first": math.nan}, "ranked_first"),
        ({"last": math.nan}, "ranked_last"),
        ({"area": (math.nan, math.nan, math.nan)}, "membership_loss"),
        ({"area": (0.5, math.nan, 0.6)}, "membership_loss"),
        ({"perplexity": math.nan}, "perplexity"),
        ({"perplexity": math.inf}, "perplexity"),
        ({"others": math.nan}, "others"),
    ],
)
def test_each_broken_bound_and_each_nan_fails(change: dict[str, object], check: str) -> None:
    found = verdict(KNOWN, measured(**change))  # type: ignore[arg-type]
    assert found.outcome is Outcome.FAIL
    assert failed(found) == {check}


def test_pushed_past_never_seen_text_is_called_over_forgotten() -> None:
    found = verdict(KNOWN, measured(area=(0.02, 0.0, 0.2)))
    assert "over_forgotten" in {c.reason for c in found.checks}


def test_a_bound_that_is_infinite_lets_nothing_pass() -> None:
    boundless = Score(
        "extraction", "s", estimate(0, 0, 1), estimate(0, 0, math.inf), rule=Rule.RATE
    )
    after = replace(
        FORGOTTEN, attacks=(AttackResult("extraction", (boundless,)), *FORGOTTEN.attacks[1:])
    )
    assert failed(verdict(KNOWN, after)) == {"extraction"}


@pytest.mark.parametrize("name", CORE)
@pytest.mark.parametrize("way", ["missing", "empty", "other_metric"])
@pytest.mark.parametrize("side", ["before", "after"])
def test_an_attack_without_its_result_fails(name: str, way: str, side: str) -> None:
    if (name, way) == ("memorisation", "other_metric"):
        return  # it is reported, no bound is set on it
    other = Score("other", "x", estimate(0, 0, 1), estimate(0, 0, 1))
    kept = {
        "missing": [],
        "empty": [AttackResult(name, ())],
        "other_metric": [AttackResult(name, (other,))],
    }

    def without(whole: Assessment) -> Assessment:
        rest = [a for a in whole.attacks if a.attack != name]
        return replace(whole, attacks=(*rest, *kept[way]))

    before = without(KNOWN) if side == "before" else KNOWN
    after = without(FORGOTTEN) if side == "after" else FORGOTTEN
    found = verdict(before, after)
    assert found.outcome is Outcome.FAIL
    assert name in failed(found)


def test_a_policy_that_requires_nothing_never_passes() -> None:
    assert judge(KNOWN, FORGOTTEN, BOUNDS, required=()).outcome is Outcome.FAIL


def test_an_attack_that_could_not_see_the_person_before_is_inconclusive_and_carries_no_pass() -> (
    None
):
    blind = measured(extraction=1.0, exposure=7.0, first=1.0)  # membership told nobody apart
    found = verdict(blind, FORGOTTEN)
    assert found.outcome is Outcome.PASS
    (check,) = [c for c in found.checks if c.name == "membership_loss"]
    assert (check.outcome, check.reason) == (Outcome.INCONCLUSIVE, "no_power")
    worse = verdict(blind, measured(area=(1.0, 0.9, 1.0)))
    assert worse.outcome is Outcome.FAIL  # blind before, and it sees the person now


def test_last_ranks_have_power_where_first_ranks_had() -> None:
    def last(before: Assessment) -> str:
        (check,) = [c for c in verdict(before, FORGOTTEN).checks if c.name == "ranked_last"]
        return f"{check.outcome} {check.reason}"

    assert last(KNOWN) == "PASS within"
    assert last(measured(extraction=1.0, exposure=7.0)) == "INCONCLUSIVE no_power"
    (check,) = [c for c in verdict(KNOWN, measured(last=0.2)).checks if c.name == "ranked_last"]
    assert (check.outcome, check.reason) == (Outcome.FAIL, "over_forgotten")


def test_bounds_under_which_no_attack_had_power_let_nothing_pass() -> None:
    wide = Thresholds(1.0, 20.0, 20.0, 0.05, 0.49, 3, 1.05, 0.10)
    blind = measured(extraction=1.0, exposure=7.0)  # known by heart, and within every bound
    found = judge(blind, blind, wide, required=CORE)
    attacks = [c for c in found.checks if c.name in ("extraction", "exposure", "membership_loss")]
    assert {c.reason for c in attacks} == {"no_power"}
    assert found.outcome is Outcome.INCONCLUSIVE
    assert not carries_a_pass((c.name, c.outcome) for c in found.checks)


def test_a_number_that_was_not_one_before_gives_no_power() -> None:
    odd = measured(extraction=1.0, exposure=7.0, first=1.0, area=(math.nan, math.nan, math.nan))
    (check,) = [c for c in verdict(odd, FORGOTTEN).checks if c.name == "membership_loss"]
    assert (check.outcome, check.reason) == (Outcome.INCONCLUSIVE, "no_power")


def test_too_few_secrets_are_inconclusive() -> None:
    strict = replace(BOUNDS, least_trials=31)
    found = judge(KNOWN, FORGOTTEN, strict, required=CORE)
    assert found.outcome is Outcome.INCONCLUSIVE
    assert judge(KNOWN, KNOWN, strict, required=CORE).outcome is Outcome.FAIL


def test_a_later_attempt_has_less_room() -> None:
    after = measured(exposure=2.2)  # strangers: mean 1.4, end of the range 2.4
    outcomes = [judge(KNOWN, after, BOUNDS, required=CORE, attempt=k).outcome for k in (1, 2, 3)]
    assert outcomes == [Outcome.PASS, Outcome.FAIL, Outcome.FAIL]


def test_another_model_passed_off_as_the_result_fails() -> None:
    smaller = replace(FORGOTTEN, shape_sha256="1" * 64)
    assert failed(verdict(KNOWN, smaller)) == {"same_model"}


def test_a_score_that_was_judged_before_and_is_missing_now_fails() -> None:
    extra = Score("s_el", "passages", estimate(0.9, 0, 1), estimate(0.1, 0, 0.2), rule=Rule.RANGE)
    (memory,) = [a for a in KNOWN.attacks if a.attack == "memorisation"]
    more = replace(memory, scores=(*memory.scores, extra))
    before = replace(KNOWN, attacks=tuple(more if a is memory else a for a in KNOWN.attacks))
    assert failed(verdict(before, FORGOTTEN)) == {"memorisation"}


JUDGED = [name for name in CORE if name != "memorisation"]


def run(model: LanguageModel, trial: Trial) -> Assessment:
    return assess(model, "1" * 64, trial, {name: ATTACKS[name]() for name in JUDGED})


def test_doing_nothing_to_the_victim_fails(before: Assessment) -> None:
    found = verdict(before, before)
    assert found.outcome is Outcome.FAIL
    assert {"extraction", "exposure", "ranked_first"} <= failed(found)


def test_the_policys_first_method_on_the_victim_withstands_every_attack(
    victim: LanguageModel, trial: Trial, before: Assessment
) -> None:
    unlearned = METHODS["anchor_distillation"]().unlearn(victim, trial.corpus)
    found = judge(before, run(unlearned.model, trial), REFERENCE_BOUNDS, required=JUDGED)
    assert failed(found) <= {"others"}, found.checks
    (others,) = [c for c in found.checks if c.name == "others"]
    assert others.measured <= 1 / 9 + 1e-9  # the victim says nine in all


def test_a_model_that_was_never_trained_is_no_result(
    untrained: LanguageModel, trial: Trial, before: Assessment
) -> None:
    found = judge(before, run(untrained, trial), BOUNDS, required=JUDGED)
    assert found.outcome is Outcome.FAIL
    assert {"perplexity", "others"} <= failed(found)


def test_a_stranger_to_the_victim_is_inconclusive(victim: LanguageModel, town: Town) -> None:
    from tests import tiny

    unknown = tiny.passages(town.place.unknown[0], "u0")
    trial = prepare(victim, unknown, town.neighbours, town.sentences, seed=SEED, controls=10)
    measured_once = run(victim, trial)
    found = judge(measured_once, measured_once, REFERENCE_BOUNDS, required=JUDGED)
    assert found.outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("case", "code"), [("no_secret", Code.NO_SPANS), ("one_neighbour", Code.NO_NEIGHBOURS)]
)
def test_a_trial_that_could_prove_nothing_is_not_prepared(
    case: str, code: Code, victim: LanguageModel, town: Town
) -> None:
    members, neighbours = town.members, town.neighbours
    if case == "no_secret":
        members = [replace(p, spans=p.spans[:0]) for p in members]
    else:  # one person with secrets, others of whom nothing but the name is known
        named = [replace(p, spans=p.spans[:1]) for p in neighbours if p.person != "p1"]
        named = [p for p in named if p.spans[0].kind == "person"]
        neighbours = [*(p for p in neighbours if p.person == "p1"), *named]
    with pytest.raises(UnlearningFailed) as refused:
        prepare(victim, members, neighbours, town.sentences, seed=SEED)
    assert refused.value.code is code


def test_a_trial_is_the_same_for_the_same_seed_and_keeps_people_apart(
    victim: LanguageModel, town: Town, trial: Trial
) -> None:
    again = prepare(victim, town.members, town.neighbours, town.sentences, seed=SEED)
    assert again == trial
    learnt = {r.person for r in trial.corpus.neighbours}
    assert not learnt & {r.person for r in trial.others}
    assert not {r.ids for r in trial.corpus.ordinary} & {r.ids for r in trial.retained}
