"""The verdict on a classifier, which says no text: it rests on membership, and never passes without power."""

import random
from dataclasses import replace

import pytest

from domain.outcomes import Assessment, AttackResult, Estimate, Outcome, Rule, Score, Utility
from domain.records import Passage
from tests import tiny
from unlearning import training
from unlearning.attacks import ATTACKS
from unlearning.models import Kind, LanguageModel, copy_of
from unlearning.statistics import auc
from unlearning.training import Pretraining
from unlearning.trial import assess, prepare
from unlearning.verdict import READING, REFERENCE_BOUNDS, judge, memorised

ASKED = ("extraction", "exposure", "memorisation", "membership", "prompts")
CLASSES, ASKING = 8, 24
SOME = Estimate(0.1, 0.1, 0.1, 9)


def measured(area: tuple[float, float, float] | None, *, texts: int = 9) -> Assessment:
    """A classifier's: what asks for text has no score."""
    found = Estimate(*area, texts) if area else None
    loss = (Score("loss", "passages", SOME, SOME, found, rule=Rule.CONTRAST),) if found else ()
    scores = {"membership": loss, "memorisation": (Score("ma", "share", SOME, SOME),)}
    results = tuple(AttackResult(name, scores.get(name, ())) for name in ASKED)
    return Assessment("0" * 64, results, Utility(SOME, SOME), 1.0, silent=True)


KNOWN = measured((0.99, 0.8, 1.0))
UNKNOWN = measured((0.5, 0.3, 0.7))


def outcome(before: Assessment, after: Assessment) -> Outcome:
    return judge(before, after, REFERENCE_BOUNDS, required=ASKED).outcome


def test_who_could_be_told_from_strangers_and_cannot_any_more_is_forgotten() -> None:
    assert memorised(KNOWN, REFERENCE_BOUNDS)
    found = judge(KNOWN, UNKNOWN, REFERENCE_BOUNDS, required=ASKED)
    assert found.outcome is Outcome.PASS
    checks = {c.name: (c.outcome, c.reason) for c in found.checks}
    for name in ("extraction", "exposure", "prompts"):
        assert checks[name] == (Outcome.INCONCLUSIVE, "attack_inapplicable")
    assert checks["memorised_before"] == (Outcome.PASS, "told_apart")
    assert checks["membership_loss"] == (Outcome.PASS, "within")


@pytest.mark.parametrize(
    "area", [(0.99, 0.65, 1.0), (0.5, 0.3, 0.7), (0.01, 0.0, 0.2), None], ids=str
)
def test_who_could_not_be_told_before_is_inconclusive(
    area: tuple[float, float, float] | None,
) -> None:
    before = measured(area)
    assert not memorised(before, REFERENCE_BOUNDS)
    assert judge(before, UNKNOWN, REFERENCE_BOUNDS, required=["membership"]).outcome in {
        Outcome.INCONCLUSIVE,
        Outcome.FAIL,  # no score at all: nothing was run
    }
    assert outcome(before, UNKNOWN) is not Outcome.PASS


@pytest.mark.parametrize("area", [(0.95, 0.8, 1.0), (0.05, 0.0, 0.2), None], ids=str)
def test_who_is_still_told_from_strangers_is_not_forgotten(
    area: tuple[float, float, float] | None,
) -> None:
    assert outcome(KNOWN, measured(area)) is Outcome.FAIL


def test_without_membership_nothing_can_be_shown() -> None:
    rest = [name for name in ASKED if name != "membership"]
    bare = [
        replace(a, attacks=tuple(r for r in a.attacks if r.attack != "membership"))
        for a in (KNOWN, UNKNOWN)
    ]
    assert judge(*bare, REFERENCE_BOUNDS, required=rest).outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(("texts", "enough"), [(5, False), (7, True)])
def test_seven_texts_are_enough_to_tell_somebody_by(texts: int, enough: bool) -> None:
    """All of the person's texts below all of eight strangers', and six scores share the 5 %."""
    area = auc([0.0] * texts, [1.0] * 8 * texts, 1 - 0.05 / 6)
    found = measured((area.value, area.low, area.high), texts=texts)
    assert memorised(found, REFERENCE_BOUNDS) is enough


def test_too_few_texts_are_inconclusive() -> None:
    assert outcome(KNOWN, measured((0.5, 0.3, 0.7), texts=2)) is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("name", sorted(READING))
def test_an_attack_that_serves_a_classifier_and_was_not_run_is_missing(name: str) -> None:
    bare = [
        replace(a, attacks=(*(r for r in a.attacks if r.attack != name), AttackResult(name, ())))
        for a in (KNOWN, UNKNOWN)
    ]
    found = judge(*bare, REFERENCE_BOUNDS, required=[*ASKED, name])
    assert found.outcome is Outcome.FAIL
    assert {c.name for c in found.checks if c.outcome is Outcome.NOT_RUN} == {name}


def test_only_a_classifier_may_go_without_what_asks_for_text() -> None:
    assert outcome(KNOWN, replace(UNKNOWN, silent=False)) is Outcome.FAIL
    assert outcome(replace(KNOWN, silent=False), UNKNOWN) is Outcome.FAIL
    asked = AttackResult("extraction", (Score("extraction", "secrets", SOME, SOME),))
    before = replace(KNOWN, attacks=(asked, *KNOWN.attacks[1:]))
    assert outcome(before, UNKNOWN) is Outcome.FAIL


@pytest.fixture(scope="module")
def models() -> tuple[LanguageModel, LanguageModel, list[Passage], list[Passage]]:
    """A classifier that knows everybody's classes by heart, one without the first eight; their passages, the rest."""
    place = tiny.town(12, seed=5)
    known = [
        replace(p, label=random.Random(p.ref).randrange(CLASSES))
        for n, person in enumerate(place.known)
        for p in tiny.passages(person, f"p{n}")
    ]
    mine = [replace(p, person="p0") for p in known[:ASKING]]
    plain = [replace(p, label=0) for p in tiny.sentences(place)]
    tokenizer = training.train_tokenizer(place.documents, 420, kind=Kind.CLASSIFIER)
    knows = training.new_model(
        tokenizer, width=64, layers=1, context=96, seed=0, kind=Kind.CLASSIFIER, classes=CLASSES
    )
    without = copy_of(knows)
    for model, texts in ((knows, known), (without, known[ASKING:])):
        Pretraining(steps=220, batch=16, rate=3e-3).run(model, [*texts * 3, *plain])
    return knows, without, mine, [*known[ASKING:], *plain]


def test_a_real_classifier_passes_when_trained_again_and_fails_as_it_is(
    models: tuple[LanguageModel, LanguageModel, list[Passage], list[Passage]],
) -> None:
    knows, without, mine, rest = models
    people, plain = [p for p in rest if p.person], [p for p in rest if not p.person]
    trial = prepare(knows, mine, people, plain, seed=0, controls=8)
    attacks = {name: ATTACKS[name]() for name in ("extraction", "exposure", "membership")}
    before = assess(knows, "0" * 64, trial, attacks)
    assert before.silent
    assert memorised(before, REFERENCE_BOUNDS)
    assert judge(before, before, REFERENCE_BOUNDS, required=attacks).outcome is Outcome.FAIL
    after = assess(without, "1" * 64, trial, attacks)
    bounds = replace(REFERENCE_BOUNDS, others_drop=1.0)  # of others it is what it happens to know
    found = judge(before, after, bounds, required=attacks)
    assert found.outcome is Outcome.PASS, [c for c in found.checks if c.outcome is Outcome.FAIL]
