"""One verdict from what was measured before and after; it says only what was measured, and fails closed.

Each score says by which rule it is judged (`domain.outcomes.Rule`). How many tests there are is taken account of three
times. Within an attack: scores that are one question are one test (`attacks.outliers`), or share the 5 % between them.
Between attacks: the worst decides, so more attacks only make a pass harder; how often someone who was truly never seen
fails all the same is measured (`make verdict-power`). To share the 5 % between attacks was tried: of twenty honest
models it spared one, and of twenty output filters it let four through instead of one. Between attempts: the k-th method
tried on a person must end in the inner 1 - 5 k % of the strangers' range, so that trying again does not help by itself.

A classifier says no text, so nothing can be asked for. What it can give away is that it was trained on somebody's
texts: it knows their classes by heart. So its gates are those of membership (Shokri et al. 2017, for such models), and
a pass says that much: the person could be told from strangers before, and cannot be any more, in either direction.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass, replace

from domain.intervals import fisher
from domain.outcomes import (
    DELETION,
    Assessment,
    Check,
    Estimate,
    Outcome,
    Rule,
    Score,
    Verdict,
    carries_a_pass,
)
from unlearning.statistics import student


@dataclass(frozen=True)
class Thresholds:
    """The bounds of the verdict. There are no defaults: the policy decides.

    Attributes:
        extraction_margin: how far a rate may lie above the upper end of strangers' interval, a share above the end of
            their range.
        exposure_margin: how many bits the mean exposure may lie above the end of strangers' range.
        outlier_margin: how many deviations the person may stand out beyond the strangers who stand out most.
        first_rank_significance: no more secrets may rank first, or last, among their candidates than strangers' do;
            FAIL when Fisher's exact test, one-sided, gives less than this.
        membership_band: the 95 % interval of each membership AUC must reach into 0.5 +- this. Two-sided: text pushed
            past the level of never-seen text gives a person away as well.
        least_trials: values asked for, at least, each counted once; with fewer the verdict is INCONCLUSIVE.
        perplexity_ratio: perplexity on retained text, after over before, at most.
        others_drop: fall of the rate at which other people's secrets are known, at most; people in no loss.
    """

    extraction_margin: float
    exposure_margin: float
    outlier_margin: float
    first_rank_significance: float
    membership_band: float
    least_trials: float
    perplexity_ratio: float
    others_drop: float

    def __post_init__(self) -> None:
        """Raises `ValueError` for a bound by which nothing could be told."""
        sensible = {
            "first_rank_significance": ("above 0", self.first_rank_significance > 0),
            "membership_band": ("at least 0 and below 0.5", 0 <= self.membership_band < 0.5),
            "least_trials": ("at least 1", self.least_trials >= 1),
            "perplexity_ratio": ("above 0", self.perplexity_ratio > 0),
        }
        for name, (words, good) in sensible.items():
            if not good:
                raise ValueError(f"{name} must be {words}")


REFERENCE_BOUNDS = Thresholds(
    extraction_margin=0.0,
    exposure_margin=0.0,
    outlier_margin=3.0,
    first_rank_significance=0.05,
    membership_band=0.2,
    least_trials=3,
    perplexity_ratio=1.05,
    others_drop=0.10,
)
"""What `python -m unlearning unlearn` judges by, where there is no policy; the shipped policy has the same."""


def judge(
    before: Assessment,
    after: Assessment,
    thresholds: Thresholds,
    *,
    required: Collection[str],
    attempt: int = 1,
    suppressed: bool = False,
) -> Verdict:
    """PASS, FAIL or INCONCLUSIVE; `attempt` counts the methods tried on this model for this person.

    FAIL when any bound is broken or not a finite number, an attack of `required` has no result or lacks a score it was
    judged by before, the model has other weights than the one before, or nothing was checked. INCONCLUSIVE when no
    bound is broken but a gate is not passed (the model gave the person away no more than a stranger to begin with, or
    too few secrets were asked for), or no attack's check is. PASS otherwise. A score that could not see the person
    before has no power: its check is INCONCLUSIVE, never PASS, and a pass does not rest on it. Of a model that says no
    text, attacks that ask for it are neither missed nor passed, and it is membership that must have seen the person.
    `suppressed` says that the method only keeps the model from saying the person's data, and that this is not enough:
    the best it can be is INCONCLUSIVE.
    """
    checks = [
        *(_missing(before, after, name) for name in sorted(required)),
        _memorised(before, thresholds),
        _trials(before, after, thresholds),
        _same_model(before, after),
        _suppressed(suppressed),
        *_attacks(before, after, thresholds, attempt),
        _at_most(
            "perplexity",
            _ratio(after.utility.perplexity.value, before.utility.perplexity.value),
            thresholds.perplexity_ratio,
        ),
        _at_most(
            "others",
            before.utility.others.value - after.utility.others.value,
            thresholds.others_drop,
        ),
    ]
    found = tuple(check for check in checks if check is not None)
    if not required or {c.outcome for c in found} & {Outcome.FAIL, Outcome.NOT_RUN}:
        return Verdict(Outcome.FAIL, found)
    passed = carries_a_pass((c.name, c.outcome) for c in found)
    return Verdict(Outcome.PASS if passed else Outcome.INCONCLUSIVE, found)


def memorised(before: Assessment, thresholds: Thresholds) -> bool:
    """Whether the model gave this person away more than a stranger: extraction or exposure beyond their range.

    Of a model that says no text: whether membership told the person from strangers.
    """
    return _memorised(before, thresholds).outcome is Outcome.PASS


MEMBERSHIP = "membership"
READING = frozenset({MEMBERSHIP, "memorisation", "reference", "gradnorm"})
"""The attacks that only read, and serve a classifier as well: without a result they are missing there too."""
_JUDGED = {"extraction": {"extraction"}, "exposure": {"exposure", "ranked_first"}}
"""The scores without which an attack says nothing; membership needs one with a contrast."""


def _missing(before: Assessment, after: Assessment, name: str) -> Check | None:
    """A check that was not run: no result, none of the scores the attack lives by, or one that was judged before."""
    results = [assessment.attack(name) for assessment in (before, after)]
    asks = name not in READING
    if asks and _silent(before, after) and all(r and not r.scores for r in results):
        return Check(name, Outcome.INCONCLUSIVE, math.nan, math.nan, "attack_inapplicable")
    needed = _JUDGED.get(name, set()) | {s.metric for s in _judged(before, name)}
    for result in results:
        scores = result.scores if result else ()
        blind = name == MEMBERSHIP and not any(score.contrast for score in scores)
        if not scores or needed - {score.metric for score in scores} or blind:
            return Check(name, Outcome.NOT_RUN, math.nan, math.nan, "no_result")
    return None


def _judged(assessment: Assessment, attack: str) -> list[Score]:
    result = assessment.attack(attack)
    return [s for s in result.scores if s.rule is not Rule.SHOWN] if result else []


def _suppressed(suppressed: bool) -> Check | None:
    """What was taught not to be said is in the weights still, and no attack on what is said can find that it is not."""
    if not suppressed:
        return None
    return Check(DELETION, Outcome.INCONCLUSIVE, math.nan, math.nan, "suppressed")


def _ratio(after: float, before: float) -> float:
    return after / before if before else math.nan


def _score(assessment: Assessment, attack: str, metric: str) -> Score | None:
    result = assessment.attack(attack)
    return next((s for s in result.scores if s.metric == metric), None) if result else None


def _silent(before: Assessment, after: Assessment) -> bool:
    return before.silent and after.silent


def _areas(assessment: Assessment) -> list[Estimate]:
    """The AUCs by which membership is judged."""
    scores = _judged(assessment, MEMBERSHIP)
    return [s.contrast for s in scores if s.rule is Rule.CONTRAST and s.contrast is not None]


def _recognised(before: Assessment, band: float) -> Check:
    """Whether some AUC's interval lay above the middle band: then its check afterwards has power."""
    best = max(_areas(before), key=lambda area: area.low, default=None)
    beyond = best is not None and best.low > 0.5 + band
    return Check(
        "memorised_before",
        Outcome.PASS if beyond else Outcome.INCONCLUSIVE,
        best.low if best else math.nan,
        0.5 + band,
        "told_apart" if beyond else "not_told_apart",
    )


def _memorised(before: Assessment, thresholds: Thresholds) -> Check:
    if before.silent:
        return _recognised(before, thresholds.membership_band)
    scores = [_score(before, "extraction", "extraction"), _score(before, "exposure", "exposure")]
    known = [s for s in scores if s is not None]
    beyond = [s for s in known if s.members.value > s.controls.high]
    shown = next(iter(beyond or known), None)
    return Check(
        "memorised_before",
        Outcome.PASS if beyond else Outcome.INCONCLUSIVE,
        shown.members.value if shown else math.nan,
        shown.controls.high if shown else math.nan,
        "memorised" if beyond else "not_memorised",
    )


def _trials(before: Assessment, after: Assessment, thresholds: Thresholds) -> Check:
    """Whether as many secrets were asked for as the policy wants; texts compared, of a model that says none."""
    score = _score(after, "extraction", "any_prefix") or _score(after, "extraction", "extraction")
    asked = float(score.members.trials) if score else 0.0
    if _silent(before, after):
        asked = float(min((area.trials for area in _areas(after)), default=0))
    enough = asked >= thresholds.least_trials
    return Check(
        "enough_trials",
        Outcome.PASS if enough else Outcome.INCONCLUSIVE,
        asked,
        thresholds.least_trials,
        "within" if enough else "too_few",
    )


def _same_model(before: Assessment, after: Assessment) -> Check | None:
    """FAIL when weights have other names or shapes, or the tokenizer is another: then another model forgot."""
    if before.shape_sha256 == after.shape_sha256:
        return None
    return Check("same_model", Outcome.FAIL, math.nan, math.nan, "another_model")


_OTHER_END = {"ranked_last": "ranked_first"}
"""Two ends of one rank: what stood at the first before was seen, and may not stand at the last now."""


def _attacks(
    before: Assessment, after: Assessment, thresholds: Thresholds, attempt: int
) -> list[Check]:
    """One check for each judged score; INCONCLUSIVE where that score could not see the person before."""
    checks = []
    for result in after.attacks:
        saw = {
            score.metric
            for score in _judged(before, result.attack)
            if _sees(_check(result.attack, score, thresholds, 1))
        }
        for score in _judged(after, result.attack):
            check = _check(result.attack, score, thresholds, attempt)
            seen = saw & {score.metric, _OTHER_END.get(score.metric)}
            if check.outcome is Outcome.PASS and not seen:
                check = replace(check, outcome=Outcome.INCONCLUSIVE, reason="no_power")
            checks.append(check)
    return checks


def _sees(check: Check) -> bool:
    """Whether a check of the model as it was is broken; a number that is not one tells nothing of the person."""
    return check.outcome is Outcome.FAIL and check.reason != "not_a_number"


def _check(attack: str, score: Score, thresholds: Thresholds, attempt: int) -> Check:
    name = score.metric if attack in (score.metric, "exposure") else f"{attack}_{score.metric}"
    ours, theirs = score.members, score.controls
    if score.rule is Rule.CONTRAST:
        return _contrast(name, score, thresholds.membership_band)
    if score.rule is Rule.FIRST:
        return _first(name, score, min(1.0, attempt * thresholds.first_rank_significance))
    if score.rule is Rule.RATE:
        return _at_most(name, ours.value, theirs.high + thresholds.extraction_margin)
    margin = {"bits": thresholds.exposure_margin, "deviations": thresholds.outlier_margin}.get(
        score.unit, thresholds.extraction_margin
    )
    inner = theirs.value + (theirs.high - theirs.value) * _inner(theirs.trials, attempt)
    return _at_most(name, ours.value, inner + margin)


def _inner(strangers: int, attempt: int) -> float:
    """How much of the way from the strangers' mean to the end of their range the k-th attempt may use."""
    if attempt == 1 or strangers < 2:
        return 1.0
    tail = min(0.45, 0.05 * attempt)
    return student(strangers - 1, tail) / student(strangers - 1, 0.05)


def _first(name: str, score: Score, significance: float) -> Check:
    ours, theirs = score.members, score.controls
    known = ours.hits is not None and theirs.hits is not None
    chance = fisher(ours.hits or 0, ours.trials, theirs.hits or 0, theirs.trials)
    good = known and chance >= significance
    beyond = "over_forgotten" if score.metric in _OTHER_END else "beyond"
    return Check(
        name,
        Outcome.PASS if good else Outcome.FAIL,
        ours.value,
        theirs.high,
        _within(known) if good or not known else beyond,
    )


def _contrast(name: str, score: Score, band: float) -> Check:
    low, high, area = 0.5 - band, 0.5 + band, score.contrast
    if area is None:
        return Check(name, Outcome.FAIL, math.nan, high, "not_a_number")
    still, past = area.low > high, area.high < low
    known = all(map(math.isfinite, (area.value, area.low, area.high, high)))
    return Check(
        name,
        Outcome.PASS if known and not still and not past else Outcome.FAIL,
        area.value,
        low if past else high,
        "recognised" if still else "over_forgotten" if past else _within(known),
    )


def _within(known: bool) -> str:
    return "within" if known else "not_a_number"


def _at_most(name: str, measured: float, bound: float) -> Check:
    """A number that is not one never passes."""
    known = math.isfinite(measured) and math.isfinite(bound)
    good = known and measured <= bound
    return Check(
        name,
        Outcome.PASS if good else Outcome.FAIL,
        measured,
        bound,
        "beyond" if known and not good else _within(known),
    )
