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
    Estimate,
    FileDigest,
    ModelErasure,
    Outcome,
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
                    Score("ranked_first", "secrets", rate(round(16 * share), 16), rate(1, 160)),
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


def attempt(number: int, method: str, hits: int, outcome: Outcome, *, weights: int = 7) -> Attempt:
    after = assessment(hits, weights=weights)
    checks = (
        Check("memorised_before", Outcome.PASS, 0.7, 0.05, "memorised"),
        Check("enough_trials", Outcome.PASS, 64.0, 3.0, "within"),
        Check("extraction", outcome, hits / 64, 0.05, "members_at_or_below_bound"),
        Check("membership.loss", Outcome.PASS, 0.5, 0.6, "cannot_be_told_apart"),
        Check("utility.perplexity", Outcome.PASS, 1.03, 1.10, "within_budget"),
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
ALL = {
    "fulfilled": FULFILLED,
    "not_erased": NOT_ERASED,
    "inconclusive": INCONCLUSIVE,
    "no_match": NO_MATCH,
    "withdrawn": WITHDRAWN,
    "several": SEVERAL,
}
