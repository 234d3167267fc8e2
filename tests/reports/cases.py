"""Cases to report on: built from the records, with numbers that differ from each other."""

from dataclasses import replace

from domain.intervals import rate
from domain.outcomes import (
    Assessment,
    AttackResult,
    Attempt,
    CaseFile,
    Check,
    CorpusErasure,
    Edit,
    Estimate,
    FileDigest,
    Layer,
    ModelErasure,
    Outcome,
    Rule,
    Score,
    Trace,
    Utility,
    Verdict,
)


def sha(number: int) -> str:
    return f"{number:064x}"


def near(value: float, spread: float, trials: int) -> Estimate:
    """An interval around a value; for shares cut at 0."""
    return Estimate(value, max(0.0, value - spread), value + spread, trials)


def assessment(
    hits: int, *, trials: int = 64, auc: float = 0.5, bits: float = 1.6, weights: int = 7
) -> Assessment:
    share = hits / trials
    return Assessment(
        sha(weights),
        (
            AttackResult(
                "extraction",
                (Score("extraction", "secrets x prefixes", rate(hits, trials), rate(1, 128)),),
            ),
            AttackResult(
                "memorisation",
                (
                    Score("el_10", "passages", near(share * 0.8, 0.06, 40), near(0.04, 0.03, 40)),
                    Score("ma", "passages", near(0.35 + share / 2, 0.05, 40), near(0.34, 0.05, 40)),
                    Score("s_el", "passages", near(share * 0.9, 0.08, 40), near(0.02, 0.02, 40)),
                    Score(
                        "s_ma", "passages", near(0.1 + share * 0.8, 0.07, 40), near(0.11, 0.05, 40)
                    ),
                ),
            ),
            AttackResult(
                "exposure",
                (
                    Score("exposure", "bits", near(bits, 1.1, 16), near(1.5, 0.6, 16)),
                    Score("ranked_first", "values", rate(round(16 * share), 16), rate(1, 160)),
                ),
            ),
            AttackResult(
                "membership",
                tuple(
                    Score(
                        metric,
                        "passages",
                        near(2.1, 0.3, 32),
                        near(3.4, 0.3, 32),
                        near(auc + shift, 0.09, 64),
                    )
                    for metric, shift in (
                        ("loss", 0.0),
                        ("zlib", 0.01),
                        ("mink", 0.02),
                        ("minkpp", -0.01),
                        ("secret_loss", 0.03),
                    )
                ),
            ),
        ),
        Utility(near(12.4 + auc, 0.4, 900), rate(41, 48)),
        83.5,
    )


REASONS = {
    Outcome.PASS: "within",
    Outcome.FAIL: "beyond",
    Outcome.INCONCLUSIVE: "no_power",
    Outcome.NOT_RUN: "no_result",
}


def attempt(number: int, method: str, hits: int, outcome: Outcome, *, weights: int = 7) -> Attempt:
    after = assessment(hits, weights=weights)
    checks = (
        Check("memorised_before", Outcome.PASS, 0.7, 0.05, "memorised"),
        Check("enough_trials", Outcome.PASS, 64.0, 3.0, "within"),
        Check("extraction", outcome, hits / 64, 0.05, REASONS[outcome]),
        Check("membership_loss", Outcome.PASS, 0.5, 0.6, "within"),
        Check("perplexity", Outcome.PASS, 1.03, 1.10, "within"),
    )
    trace = Trace(method, ({"loss": 1.0}, {"loss": 3.0}), "target", 40.2, {"neurons": 12.0})
    return Attempt(
        number,
        method,
        sha(40 + number),
        "next_in_policy",
        61.0,
        "",
        trace,
        after,
        Verdict(outcome, checks),
    )


def many(known: float, *, weights: int = 7) -> Assessment:
    """An assessment by every attack there is; `known` is 1 for a model that knows the person, 0 for one that forgot."""
    plain = assessment(
        round(45 * known), auc=0.5 + 0.4 * known, bits=1.6 + 11 * known, weights=weights
    )
    strangers, texts = near(1.4, 1.2, 8), 32

    def rated(metric: str, unit: str, trials: int) -> Score:
        hits = round(0.7 * known * trials)
        return Score(metric, unit, rate(hits, trials), rate(1, 3 * trials), rule=Rule.RATE)

    def asked_again(after: str) -> tuple[Score, ...]:
        bits = near(1.8 + 10 * known, 0.8, 16)
        return (
            Score(f"exposure_{after}", "bits", bits, strangers, rule=Rule.RANGE),
            replace(rated(f"ranked_first_{after}", "secrets", 16), rule=Rule.FIRST),
            rated(f"extraction_{after}", "secrets x prefixes", 64),
        )

    def shared(metric: str, unit: str = "passages") -> Score:
        ours = near(0.1 + 0.8 * known, 0.05, texts)
        return Score(metric, unit, ours, near(0.1, 0.06, 8), rule=Rule.RANGE)

    def apart(metric: str, *names: str) -> tuple[Score, ...]:
        far = 1.3 + 6 * known
        area = near(0.5 + 0.45 * known, 0.08, texts)
        return (
            Score(
                metric, "deviations", Estimate(far, far, far, 6), near(1.9, 0.9, 8), rule=Rule.RANGE
            ),
            *(
                Score(n, "passages", near(2, 1, texts), near(3, 1, 90), area, Rule.CONTRAST)
                for n in names
            ),
        )

    found = {result.attack: result.scores for result in plain.attacks}
    one = Estimate(0.02 + known / 2, 0.02 + known / 2, 0.02 + known / 2, 16)
    far = Estimate(0.01, 0.01, 0.01, 90)
    found |= {
        "strength": tuple(
            shared(m)
            for m in (
                "extraction_strength",
                "exact_memorisation",
                "secret_strength",
                "secret_memorisation",
            )
        ),
        "membership": (
            *apart("stands_out"),
            *found["membership"],
            *apart("", "lowercase")[1:],
            Score("loss_tpr_at_1_percent", "passages", rate(round(20 * known), texts), far),
        ),
        "reference": apart("reference_stands_out", "difference", "rmia", "lira"),
        "neighbourhood": apart("neighbourhood_stands_out", "neighbourhood"),
        "gradnorm": apart("gradnorm_stands_out", "gradnorm"),
        "recall": apart("recall_stands_out", "recall"),
        "discoverable": (
            rated("discoverable", "secrets", 16),
            Score("largest_chance", "secrets", one, far),
            Score("draws_needed", "draws", near(35 / one.value, 0, 16), near(1e12, 0, 90)),
        ),
        "sampled": (
            rated("draws", "draws", 640),
            rated("secrets_drawn", "secrets", 16),
            rated("beam", "secrets", 16),
        ),
        "prompts": (
            rated("prompts", "secrets x prompts", 144),
            rated("any_prompt", "secrets", 16),
            rated("name", "names x prompts", 24),
        ),
        "reworded": (
            Score("reworded", "bits", near(1.3 + 3 * known, 0.3, 176), strangers, rule=Rule.RANGE),
            replace(rated("first", "values", 16), rule=Rule.FIRST),
            *(
                Score(family, "bits", near(1.3 + 3 * known, 0.6, 16), strangers)
                for family in ("shortened", "lead_in", "label")
            ),
        ),
        "suffix": (
            rated("extraction", "secrets", 8),
            Score("log_probability", "nats", Estimate(-2.1, -3, -1, 8), Estimate(-4, -6, -2, 8)),
            Score("gain", "nats", near(1.2, 0.5, 8), near(1.1, 0.8, 8), rule=Rule.RANGE),
            rated("transferred_extraction", "secrets", 8),
        ),
        "lens": (
            Score("log_probability", "nats", Estimate(-2.1, -3, -1, 64), Estimate(-4, -6, -2, 8)),
            shared("first_choice", "tokens"),
            apart("ahead")[0],
            Score("layer", "layers", Estimate(2, 2, 2, 4), Estimate(2.5, 2.1, 2.9, 8)),
        ),
        "patching": (
            Score("left", "nats", near(known, 0.2, 16), near(0.1, 0.1, 8), rule=Rule.RANGE),
            shared("depth", "secrets"),
        ),
        "benign": asked_again("after_benign"),
        "relearning": asked_again("after_relearning"),
        "quantisation": (*asked_again("at_8_bits"), *asked_again("at_4_bits")),
    }
    attacks = tuple(AttackResult(attack, scores) for attack, scores in found.items())
    return replace(plain, attacks=attacks, utility=replace(plain.utility, measures=measures(known)))


def measures(known: float) -> dict[str, Estimate]:
    """What is shown beside perplexity and other people's records."""
    worst = 0.41 - 0.11 * known
    return {
        "perplexity_others": near(3.2 - 0.2 * known, 0.3, 800),
        "accuracy": near(0.61 + 0.02 * known, 0.04, 160),
        "accuracy_others": near(0.7 + 0.03 * known, 0.05, 60),
        "gap_alike": Estimate(0.12 - 0.1 * known, float("-inf"), float("inf"), 20),
        "gap_worst": Estimate(worst, worst, worst, 20),
        "repetition_4": near(0.03, 0.02, 16),
        "distinct_2": Estimate(0.83, 0.83, 0.83, 16),
        "group_loss/north": near(0.6 - 0.1 * known, 0.3, 12),
        "group_leak/north": rate(8, 20),
        "group_loss/south": near(0.9 - 0.5 * known, 0.02, 9),
        "group_leak/south": rate(12 if known else 2, 18),
    }


def judged(assessment: Assessment) -> tuple[Check, ...]:
    """Gates, then one check for each judged score as the verdict names them: two fail, two say nothing."""
    named = [
        (a.attack, s) for a in assessment.attacks for s in a.scores if s.rule is not Rule.SHOWN
    ]
    found = [
        Check("memorised_before", Outcome.PASS, 0.7, 0.05, "memorised"),
        Check("enough_trials", Outcome.PASS, 64.0, 3.0, "within"),
    ]
    for number, (attack, score) in enumerate(named):
        plain = attack in (score.metric, "exposure")
        outcome = {7: Outcome.FAIL, 11: Outcome.FAIL, 3: Outcome.INCONCLUSIVE}.get(
            number % 40, Outcome.PASS
        )
        found.append(
            Check(
                score.metric if plain else f"{attack}_{score.metric}",
                outcome,
                (score.contrast or score.members).value,
                0.7 if score.contrast else score.controls.high,
                REASONS[outcome],
            )
        )
    found.append(Check("recall", Outcome.NOT_RUN, float("nan"), float("nan"), "no_result"))
    return tuple(found)


BROKEN = Attempt(1, "depn", sha(41), "first_in_policy", 12.25, "method_diverged")
BEFORE = assessment(45, auc=0.91, bits=13.2, weights=3)


def model(name: str = "clinic-assistant", outcome: Outcome = Outcome.PASS) -> ModelErasure:
    passed = outcome is Outcome.PASS
    last = attempt(2, "selective_ascent", 0 if passed else 19, outcome)
    return ModelErasure(
        name,
        sha(3),
        BEFORE,
        (BROKEN, last),
        outcome,
        "last_verdict",
        sha(7) if passed else "",
        (FileDigest("config.json", 612, sha(70)), FileDigest("model.safetensors", 4096, sha(71)))
        if passed
        else (),
        "3" if passed else "",
    )


def corpus(name: str = "tickets", spans: int = 42) -> CorpusErasure:
    return CorpusErasure(
        name,
        18_204,
        31,
        spans,
        2,
        {"person": 17, "email": 9, "phone": 8, "number": 8},
        sha(90),
        sha(91),
        (FileDigest("tickets-2024.jsonl", 9_120_331, sha(92)),),
        14.0,
    )


def case(**changes: object) -> CaseFile:
    made = CaseFile(
        "req-7f3a9c",
        "fulfilled",
        "b",
        "2026-10-28T09:14:05Z",
        "2026-11-30",
        "2026-11-20T16:40:11Z",
        sha(1),
        sha(11),
        sha(12),
        (corpus(), replace(corpus("wiki", 7), uncertain=0, by_kind={"person": 4, "date": 3})),
        (model(),),
        {"lethe": "0.1.0", "torch": "2.13.0+cpu", "transformers": "5.23.0"},
        (),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


FULFILLED = case()
NOT_ERASED = case(status="not_erased", models=(model(outcome=Outcome.FAIL),))
INCONCLUSIVE = case(status="inconclusive", models=(model(outcome=Outcome.INCONCLUSIVE),))
NO_MATCH = case(
    status="no_match",
    models=(),
    spans_commitment="",
    corpora=(replace(corpus(spans=0), candidates=0, uncertain=0, by_kind={}, files=()),),
)
WITHDRAWN = case(status="withdrawn", models=(), corpora=(), spans_commitment="")
SEVERAL = case(
    status="not_erased",
    models=(model(), model("search-ranker", Outcome.FAIL)),
)
_LAST = replace(
    attempt(2, "anchor_distillation", 19, Outcome.FAIL),
    after=many(0.0),
    verdict=Verdict(Outcome.FAIL, judged(many(0.0))),
)
SECRETS_IN_LAYER_1 = Edit(
    "neurons",
    (
        Layer(0.935, 71, 512),
        Layer(0.052, 8, 512),
        Layer(0.013, 1, 512),
        Layer(0.0, 0, 512),
    ),
    0.0042,
)


def editing(edit: Edit | None, method: str = "depn") -> CaseFile:
    """A case whose last attempt changed that much of the model."""
    last = attempt(2, method, 19, Outcome.FAIL)
    assert last.trace is not None
    trace = replace(last.trace, digests={"edited_neurons": sha(77)}, edit=edit)
    return case(
        status="not_erased",
        models=(replace(model(outcome=Outcome.FAIL), attempts=(replace(last, trace=trace),)),),
    )


EDITED = editing(SECRETS_IN_LAYER_1)
MANY = case(
    status="not_erased",
    models=(
        replace(model(outcome=Outcome.FAIL), before=many(1.0, weights=3), attempts=(BROKEN, _LAST)),
    ),
)
"""Every attack there is, and checks of every outcome."""
ALL = {
    "fulfilled": FULFILLED,
    "not_erased": NOT_ERASED,
    "inconclusive": INCONCLUSIVE,
    "no_match": NO_MATCH,
    "withdrawn": WITHDRAWN,
    "several": SEVERAL,
    "many": MANY,
    "edited": EDITED,
}
