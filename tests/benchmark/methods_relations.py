"""The relations that a faithful reproduction must show, each as (does it hold, the numbers that say so).

Thresholds are those of the reference notes, and are the same for every seed.
"""

from statistics import fmean

from domain.errors import UnlearningFailed
from tests.benchmark.methods_bench import push_options
from tests.benchmark.methods_case import KEPT, SAID, Case, Options, Relation, Result
from tests.benchmark.methods_scores import (
    measure,
    range_of,
    relearnt,
    said_by_form,
    said_of_others,
)
from tests.unlearning.baselines import same
from unlearning.latent import recovered


def damages(case: Case, r: Result) -> tuple[bool, str]:
    kept, steps = case.kept(r.scores), len(r.trace.steps)
    good = r.trace.stopped == "target" and r.scores.said <= SAID and kept < KEPT
    return good, f"{steps} steps, kept {kept:.2f}"


def selective(case: Case, r: Result) -> tuple[bool, str]:
    """Ascent that overshoots has a lower S-MA than a model that never saw the secrets, which is enough for both."""
    plain = case.result("gradient_ascent").scores
    share = r.scores.context / case.original.context
    level = max(plain.s_ma, fmean(c.s_ma for c in case.controls))
    good = share >= 0.95 and r.scores.context > plain.context and r.scores.s_ma <= level + 0.05
    return (
        good,
        f"context {share:.2f}, ascent's {plain.context:.2f}; S-MA {r.scores.s_ma:.2f}, level {level:.2f}",
    )


def spares(row: str) -> Relation:
    """Each is stopped as soon as it says next to nothing: the same forgetting, whatever number of steps it takes."""

    def relation(case: Case, _: Result) -> tuple[bool, str]:
        options = case.options(row)
        steps, kept = _first_silent(case, options)
        alone, theirs = _first_silent(case, {**options, "retain_term": "none"})
        return kept > theirs, (
            f"kept {kept:.2f} after {steps} steps, {theirs:.2f} after {alone} without the retain term"
        )

    return relation


def _first_silent(case: Case, options: Options) -> tuple[int, float]:
    """The fewest steps after which next to nothing is said in the learnt form, and what is kept of others then."""
    for steps in range(4, 100, 4):
        model = case.unlearned("grad_diff", {**options, "steps": steps})[0]
        said = said_by_form(case.bench, model)
        if next(iter(said.values())) <= SAID:
            return steps, said_of_others(case.bench, model) / case.original.others
    return steps, 0.0


def slower(case: Case, r: Result) -> tuple[bool, str]:
    """After as many steps as ascent needs, and after five times as many."""
    steps = len(case.result("gradient_ascent").trace.steps)
    plain = {**case.options("npo"), "retain_term": "none"}
    npo = _nll(case, "npo", {**plain, "steps": 5 * steps})
    ga = _nll(case, "grad_diff", {**plain, "steps": 5 * steps})
    good = npo[steps - 1] < ga[steps - 1] and npo[-1] <= 3 * case.level and ga[-1] > npo[-1]
    return (
        good,
        (
            f"nll after {steps}: {npo[steps - 1]:.1f}, ascent {ga[steps - 1]:.1f}; "
            f"after {5 * steps}: {npo[-1]:.1f}, {ga[-1]:.1f}"
        ),
    )


def _nll(case: Case, method: str, options: Options) -> list[float]:
    """Forget nll of each step; a run that the guard ends has exploded."""
    try:
        rows = case.unlearned(method, options)[1].steps
    except UnlearningFailed:
        return [float("inf")] * int(options["steps"])
    return [float(row["forget_nll"]) for row in rows]


def gentle(case: Case, r: Result) -> tuple[bool, str]:
    other = case.result("grad_diff").scores
    kept, theirs = case.kept(r.scores), case.kept(other)
    good = kept > theirs and r.scores.secret_nll < other.secret_nll
    return (
        good,
        f"kept {kept:.2f}, GradDiff's {theirs:.2f}; secret nll {r.scores.secret_nll:.1f}, {other.secret_nll:.1f}",
    )


def answers_randomly(case: Case, r: Result) -> tuple[bool, str]:
    plain = case.result("gradient_ascent").scores
    nll = [row["random_nll"] for row in r.trace.steps]
    kl = max(row["neighbours_kl"] for row in r.trace.steps)
    better = case.kept(r.scores) > case.kept(plain) and case.dearer(r.scores) < case.dearer(plain)
    good = nll[-1] < nll[0] and kl <= 1 and better and r.scores.said <= SAID
    return good, (
        f"random nll {nll[0]:.1f} to {nll[-1]:.1f}, KL at most {kl:.2f}, kept {case.kept(r.scores):.2f} against "
        f"{case.kept(plain):.2f}, perplexity x{case.dearer(r.scores):.2f} against x{case.dearer(plain):.2f}"
    )


def withstands(plain: str, more: Options) -> Relation:
    """A smaller share comes back under the latent attack than of the plain twin, both stopped half way.

    A share, because the steps at which they are stopped lie so far apart that one may be far past the half.
    """

    def relation(case: Case, r: Result) -> tuple[bool, str]:
        own = push_options(case.bench.latent)
        twin = _gain(case, plain, case.options(plain))
        hard = _gain(case, "adversarial", {**case.options(plain), **more, **own})
        idle = {**case.options(plain), **more, "layer": 0, "steps": 3}
        twins = [
            case.unlearned("adversarial", {**idle, **off})[0]
            for off in ({"inner_steps": 0}, {"radius": 0.0})
        ]
        exact = case.unlearned(plain, {**case.options(plain), "steps": 3})[0]
        equal = all(same(exact, model) for model in twins)
        less = hard[1] * twin[0] < twin[1] * hard[0]
        return equal and less, (
            f"gain {hard[1]:.2f} of {hard[0]:.2f} nats, twin's {twin[1]:.2f} of {twin[0]:.2f}; "
            f"no push is the twin: {equal}"
        )

    return relation


def _gain(case: Case, method: str, options: Options) -> tuple[float, float]:
    """(secret nll, how much of it a push takes back), after the fewest steps that bring it to half the level."""
    found = (0.0, 0.0)
    for steps in (5, 10, 15, 20, 30, 40, 60, 80, 120):
        try:
            model = case.unlearned(method, {**options, "steps": steps})[0]
        except UnlearningFailed:
            break
        got = recovered(model, case.bench.learnt, case.bench.latent, 0)
        found = (float(got.nll.mean()), float((got.nll - got.attacked_nll).mean()))
        if found[0] >= case.level / 2:
            break
    return found


def anchored(case: Case, r: Result) -> tuple[bool, str]:
    low, high = range_of(case.controls)
    alone = {
        "anchor": 1.0,
        "cap_share": 0.0,
        "look": 0,
        "excerpts": 0,
        "fictitious": False,
        "reinforce": 20,
        "alpha": 1.0,
        "rate": case.bench.rate,
    }
    model = case.unlearned("anchor_distillation", alone)[0]
    left = measure(case.bench, model)
    kept = case.kept(r.scores)
    good = case.within(r.scores) and kept >= KEPT and left.bits > high
    return (
        good,
        (
            f"{r.scores.bits:.2f} bits (retrained {low:.2f} to {high:.2f}), kept {kept:.2f}; "
            f"reinforcement alone {left.bits:.2f}, and says {left.said:.2f}"
        ),
    )


def stays_forgotten(case: Case, r: Result) -> tuple[bool, str]:
    """By the bench's relearning and by a harder one: three times the steps at three times the rate."""
    control = fmean(c.relearnt for c in case.controls)
    plain = case.result("selective_ascent")
    models = (r.model, case.bench.retrained(0), plain.model)
    harder = [relearnt(case.bench, model, 60, case.bench.harder) for model in models]
    good = r.scores.relearnt <= control + 0.5 and harder[0] < harder[2] - 1
    return good and case.like_retrained(r.scores), (
        f"{r.scores.relearnt:.2f} bits, retrained {control:.2f}, SeUL {plain.scores.relearnt:.2f}; relearnt harder "
        f"{harder[0]:.2f}, {harder[1]:.2f}, {harder[2]:.2f}"
    )


def reaches(case: Case, r: Result) -> tuple[bool, str]:
    low, high = range_of(case.controls)
    kept = case.kept(r.scores)
    good = case.within(r.scores) and kept >= KEPT and case.unsaid(r.scores)
    return good, f"{r.scores.bits:.2f} bits (retrained {low:.2f} to {high:.2f}), kept {kept:.2f}"
