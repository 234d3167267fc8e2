"""The rows of `make methods`: which method with which settings, and the relation of its paper as something to measure.

The papers' rates are for models of billions; all arms here have one of their own, fixed on the development seed. The
thresholds are those of the reference notes, and are the same for every seed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean
from time import monotonic
from typing import Any

import torch

from domain.errors import UnlearningFailed
from domain.outcomes import Trace
from tests.benchmark.methods_scores import Measured, measure, range_of, relearnt
from tests.benchmark.methods_world import LEARNT, Bench, retrained
from unlearning.latent import LatentAttack, recovered
from unlearning.methods import METHODS
from unlearning.models import LanguageModel

SAID, KEPT, PERPLEXITY = 0.05, 0.9, 1.05
RATE = 3e-4
LATENT = LatentAttack(layer=0, steps=6, radius=0.1)
Options = Mapping[str, Any]


@dataclass(frozen=True)
class Result:
    """What an arm made: the model, its scores, how the method ran."""

    model: LanguageModel
    scores: Measured
    trace: Trace
    seconds: float


@dataclass
class Case:
    """One seed and kind of model, with the results so far.

    Attributes:
        bench: world, model and trial.
        original, controls: scores of the model as it is and of the retrained ones.
    """

    bench: Bench
    original: Measured
    controls: Sequence[Measured]
    _results: dict[str, Result] = field(default_factory=dict)

    def result(self, name: str) -> Result:
        """The result of another arm, made when it is first asked for."""
        if name not in self._results:
            arm = next(a for a in ARMS if a.name == name)
            started = monotonic()
            done = self.unlearned(arm.method, arm.options)
            seconds = monotonic() - started
            self._results[name] = Result(done[0], measure(self.bench, done[0]), done[1], seconds)
        return self._results[name]

    def unlearned(self, method: str, options: Options) -> tuple[LanguageModel, Trace]:
        """A method's model and trace, nothing measured."""
        made = METHODS[method](**options).unlearn(self.bench.model, self.bench.trial.corpus)
        return made.model, made.trace

    def kept(self, scores: Measured) -> float:
        """Share of what the original says about people in no loss that is still said."""
        return scores.others / self.original.others

    def dearer(self, scores: Measured) -> float:
        """Perplexity over the original's."""
        return scores.perplexity / self.original.perplexity

    @property
    def level(self) -> float:
        """Secret nll of the retrained controls, nats."""
        return fmean(c.secret_nll for c in self.controls)

    def like_retrained(self, scores: Measured) -> bool:
        """Within the retrained range in every form, others kept, perplexity within bounds."""
        unseen = max(scores.extraction.values()) <= SAID
        within = scores.bits <= range_of(self.controls)[1]
        kept = self.kept(scores) >= KEPT and self.dearer(scores) <= PERPLEXITY
        return unseen and within and kept


Relation = Callable[[Case, Result], tuple[bool, str]]


@dataclass(frozen=True)
class Arm:
    """One row.

    Attributes:
        name: of the row.
        method: of `METHODS`.
        system: the published one it stands for.
        text: the relation in words.
        relation: whether it holds, and the numbers that say so.
        options: the method's.
        masked: on the masked model.
    """

    name: str
    method: str
    system: str
    text: str
    relation: Relation
    options: Options = field(default_factory=dict)
    masked: bool = False

    def run(self, case: Case) -> dict[str, Any]:
        """Scores, differences from the controls, and the relation."""
        result = case.result(self.name)
        scores = result.scores
        holds, evidence = self.relation(case, result)
        low, high = range_of(case.controls)
        return {
            **asdict(scores),
            "exposure": scores.bits,
            "retrained_low": low,
            "retrained_high": high,
            "neighbours": case.kept(scores),
            "perplexity_ratio": case.dearer(scores),
            "relearn_gain": scores.relearnt - fmean(c.relearnt for c in case.controls),
            "rebound": scores.rebound - scores.bits,
            "in_range": case.like_retrained(scores),
            "seconds": result.seconds,
            "backward_passes": result.trace.facts["backward_passes"],
            "relation": holds,
            "evidence": evidence,
        }


# ---- the relations ----------------------------------------------------------------------------------------------


def _damages(case: Case, r: Result) -> tuple[bool, str]:
    kept, steps = case.kept(r.scores), len(r.trace.steps)
    good = r.trace.stopped == "target" and r.scores.extraction[LEARNT] <= SAID and kept < KEPT
    return good, f"{steps} steps, kept {kept:.2f}"


def _selective(case: Case, r: Result) -> tuple[bool, str]:
    plain = case.result("gradient_ascent").scores
    share = r.scores.context / case.original.context
    good = share >= 0.95 and r.scores.context > plain.context and r.scores.s_ma <= plain.s_ma + 0.05
    return (
        good,
        f"context {share:.2f}, ascent's {plain.context:.2f}; S-MA {r.scores.s_ma:.2f}, {plain.s_ma:.2f}",
    )


def _spares(case: Case, r: Result) -> tuple[bool, str]:
    kept, plain = case.kept(r.scores), case.kept(case.result("gradient_ascent").scores)
    return kept > plain and r.scores.extraction[
        LEARNT
    ] <= 2 * SAID, f"kept {kept:.2f}, ascent's {plain:.2f}"


def _slower(case: Case, r: Result) -> tuple[bool, str]:
    """After as many steps as ascent needs, and after five times as many."""
    steps = len(case.result("gradient_ascent").trace.steps)
    plain = {**r_options("npo"), "retain_term": "none"}
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


def _gentle(case: Case, r: Result) -> tuple[bool, str]:
    other = case.result("grad_diff").scores
    kept, theirs = case.kept(r.scores), case.kept(other)
    good = kept > theirs and r.scores.secret_nll < other.secret_nll
    return (
        good,
        f"kept {kept:.2f}, GradDiff's {theirs:.2f}; secret nll {r.scores.secret_nll:.1f}, {other.secret_nll:.1f}",
    )


def _random(case: Case, r: Result) -> tuple[bool, str]:
    plain = case.result("gradient_ascent").scores
    nll = [row["random_nll"] for row in r.trace.steps]
    kl = max(row["neighbours_kl"] for row in r.trace.steps)
    better = case.kept(r.scores) > case.kept(plain) and case.dearer(r.scores) < case.dearer(plain)
    good = nll[-1] < nll[0] and kl <= 1 and better and r.scores.extraction[LEARNT] <= SAID
    return good, (
        f"random nll {nll[0]:.1f} to {nll[-1]:.1f}, KL at most {kl:.2f}, kept {case.kept(r.scores):.2f} against "
        f"{case.kept(plain):.2f}, perplexity x{case.dearer(r.scores):.2f} against x{case.dearer(plain):.2f}"
    )


def _withstands(plain: str, more: Options) -> Relation:
    """Less comes back under the latent attack than of the plain twin, both as far from the secrets."""

    def relation(case: Case, r: Result) -> tuple[bool, str]:
        own = {"layer": LATENT.layer, "inner_steps": LATENT.steps, "radius": LATENT.radius}
        twin = _gain(case, plain, r_options(plain))
        hard = _gain(case, "adversarial", {**r_options(plain), **more, **own})
        idle = {**r_options(plain), **more, "layer": 0, "steps": 3}
        same = [
            case.unlearned("adversarial", {**idle, **off})[0]
            for off in ({"inner_steps": 0}, {"radius": 0.0})
        ]
        exact = case.unlearned(plain, {**r_options(plain), "steps": 3})[0]
        equal = all(_equal(exact, model) for model in same)
        return equal and hard[1] < twin[1], (
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
        got = recovered(model, case.bench.asked[LEARNT], LATENT, 0)
        found = (float(got.nll.mean()), float((got.nll - got.attacked_nll).mean()))
        if found[0] >= case.level / 2:
            break
    return found


def _equal(one: LanguageModel, other: LanguageModel) -> bool:
    theirs = other.network.state_dict()
    return all(torch.equal(v, theirs[k]) for k, v in one.network.state_dict().items())


def _anchored(case: Case, r: Result) -> tuple[bool, str]:
    low, high = range_of(case.controls)
    alone = {
        "anchor": 1.0,
        "cap_share": 0.0,
        "fictitious": False,
        "reinforce": 20,
        "alpha": 1.0,
        "rate": RATE,
    }
    model = case.unlearned("anchor_distillation", alone)[0]
    said = measure(case.bench, model).extraction[LEARNT]
    kept = case.kept(r.scores)
    good = r.scores.bits <= high and kept >= KEPT and said >= 0.5
    return (
        good,
        (
            f"{r.scores.bits:.2f} bits (retrained {low:.2f} to {high:.2f}), kept {kept:.2f}; "
            f"reinforcement alone says {said:.2f}"
        ),
    )


def _stays_forgotten(case: Case, r: Result) -> tuple[bool, str]:
    """By the bench's relearning and by a harder one: three times the steps at three times the rate."""
    control = fmean(c.relearnt for c in case.controls)
    plain = case.result("selective_ascent")
    harder = [
        relearnt(case.bench, model, 60, 1e-3)
        for model in (
            r.model,
            retrained(case.bench.place, 0, masked=case.bench.model.masked),
            plain.model,
        )
    ]
    good = r.scores.relearnt <= control + 0.5 and harder[0] <= harder[1] + 0.5
    good = good and case.like_retrained(r.scores)
    return good, (
        f"{r.scores.relearnt:.2f} bits, retrained {control:.2f}, SeUL {plain.scores.relearnt:.2f}; relearnt harder "
        f"{harder[0]:.2f}, {harder[1]:.2f}, {harder[2]:.2f}"
    )


def _reaches(case: Case, r: Result) -> tuple[bool, str]:
    low, high = range_of(case.controls)
    kept = case.kept(r.scores)
    good = r.scores.bits <= high and kept >= KEPT and max(r.scores.extraction.values()) <= SAID
    return good, f"{r.scores.bits:.2f} bits (retrained {low:.2f} to {high:.2f}), kept {kept:.2f}"


# ---- the rows ---------------------------------------------------------------------------------------------------

_FAR = {"steps": 250, "rate": 1e-3, "cap_share": 0.9, "retain": 10.0, "rehearsal": 10.0}
_PUSHED = {"layer": LATENT.layer, "inner_steps": LATENT.steps, "radius": LATENT.radius}
_NPO = {"rate": RATE, "steps": 60, "retain_term": "kl"}
_AGAIN = {"steps": 1800, "batch": 16, "length": 64, "rate": 5e-3, "seed": 99}
_AGAIN_MASKED = {**_AGAIN, "steps": 3000}
_IN_RANGE = (
    "exposure within the retrained range in all forms, nothing said, others kept at least 0.9"
)

ARMS: Sequence[Arm] = (
    Arm("retrain", "retrain", "the oracle", _IN_RANGE, _reaches, _AGAIN),
    Arm(
        "gradient_ascent",
        "gradient_ascent",
        "Knowledge Unlearning (Jang 2023), batch",
        "meets its criterion within 60 steps; other people of the same form are kept less than 0.9",
        _damages,
        {"rate": RATE, "steps": 60},
    ),
    Arm(
        "gradient_ascent_sequential",
        "gradient_ascent",
        "Knowledge Unlearning (Jang 2023), two at a time",
        "the same",
        _damages,
        {"rate": RATE, "steps": 60, "chunk": 2},
    ),
    Arm(
        "selective_ascent",
        "selective_ascent",
        "SeUL (Wang 2024), bounded",
        "tokens outside spans keep 0.95 of their accuracy, more than after plain ascent, at no higher S-MA",
        _selective,
        _FAR,
    ),
    Arm(
        "llmu",
        "llmu",
        "LLMU (Yao 2023)",
        "random-answer loss falls, KL at most 1, others and perplexity better than after plain ascent, nothing said",
        _random,
        {"rate": RATE, "steps": 60, "batch": 6},
    ),
    Arm(
        "npo",
        "npo",
        "NPO (Zhang 2024), KL on neighbours",
        "without a retain term slower than ascent, and no explosion over five times its steps",
        _slower,
        _NPO,
    ),
    Arm(
        "simnpo",
        "simnpo",
        "SimNPO (Fan 2024)",
        "keeps others better and forgets less than GradDiff at equal rate and steps",
        _gentle,
        {"rate": RATE, "steps": 30},
    ),
    Arm(
        "grad_diff",
        "grad_diff",
        "GradDiff (Liu 2022)",
        "keeps more of other people than plain ascent does in about as many steps",
        _spares,
        {"rate": RATE, "steps": 30},
    ),
    Arm(
        "ga_kl",
        "grad_diff",
        "GA+KL (Maini 2024)",
        "keeps more of other people than plain ascent does in about as many steps",
        _spares,
        {"rate": RATE, "steps": 30, "retain_term": "kl"},
    ),
    Arm(
        "adv_ga",
        "adversarial",
        "LAU (Yuan 2024), AdvGA",
        "smaller gain under the latent attack than GradDiff at equal forgetting; without a push exactly GradDiff",
        _withstands("grad_diff", {"base": "ga"}),
        {"rate": RATE, "steps": 60, "base": "ga", **_PUSHED},
    ),
    Arm(
        "adv_npo",
        "adversarial",
        "LAU (Yuan 2024), AdvNPO",
        "smaller gain under the latent attack than NPO at equal forgetting; without a push exactly NPO",
        _withstands("npo", {"base": "npo"}),
        {**_NPO, "base": "npo", **_PUSHED},
    ),
    Arm(
        "anchor_distillation",
        "anchor_distillation",
        "Who's Harry Potter (Eldan 2023), soft labels",
        "exposure within the retrained range, others kept at least 0.9; reinforcement alone says half or more",
        _anchored,
        {**_FAR, "cap_share": 1.0},
    ),
    Arm(
        "relearning_ascent",
        "relearning_ascent",
        "ours: ascent at relearnt weights",
        "like a retrained model, and relearning half brings back no more than half a bit above it, in two strengths",
        _stays_forgotten,
        {"steps": 150, "rate": 6e-4, "cap_share": 0.5, "inner_steps": 3, "inner_rate": 1e-3},
    ),
    Arm("retrain_masked", "retrain", "the oracle", _IN_RANGE, _reaches, _AGAIN_MASKED, masked=True),
    Arm(
        "selective_ascent_masked",
        "selective_ascent",
        "SeUL (Wang 2024), bounded",
        _IN_RANGE,
        _reaches,
        _FAR,
        masked=True,
    ),
    Arm(
        "anchor_distillation_masked",
        "anchor_distillation",
        "Who's Harry Potter (Eldan 2023), soft labels",
        _IN_RANGE,
        _reaches,
        {**_FAR, "cap_share": 1.0},
        masked=True,
    ),
)


def r_options(name: str) -> dict[str, Any]:
    """The options of a row, or of a method's first row."""
    return dict(next(arm for arm in ARMS if name in {arm.name, arm.method}).options)
