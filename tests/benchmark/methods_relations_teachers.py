"""The relation of one clean teacher: as retrained models, and teachers that leak are refused, or shown up.

Thresholds are relative to the retrained models and the same for every seed. The reference notes' .1 about .5 for the
AUC is of sixteen people on one seed; of six people, models that never saw them differ by more (`methods_spread`).
"""

from statistics import fmean

from domain.errors import Code, UnlearningFailed
from tests.benchmark.methods_bench import Bench
from tests.benchmark.methods_case import Case, Options, Result
from tests.benchmark.methods_scores import auc_range_of, bits_of, range_of
from tests.benchmark.methods_teachers import DEPLOYED, PLANTED
from unlearning.attacks.membership import Membership
from unlearning.models import LanguageModel
from unlearning.scoring import Target


def one_clean_teacher(case: Case, r: Result) -> tuple[bool, str]:
    """As a retrained model in what is said, exposure and membership, others kept; leaking teachers are refused."""
    low, high = range_of(case.controls)
    area = told_apart(case.bench, r.model)
    never = [told_apart(case.bench, case.bench.retrained(n)) for n in range(2)]
    least, most = auc_range_of(never)
    leaky = {sort: _leaks(case, {**r.options, "shards": sort}) for sort in (DEPLOYED, PLANTED)}
    shown = all(refused and bits > high for refused, bits in leaky.values())
    like = case.like_retrained(r.scores) and least <= area <= most
    told = ", ".join(
        f"{sort} {'refused' if refused else 'NOT refused'}, unchecked {bits:.2f} bits"
        for sort, (refused, bits) in leaky.items()
    )
    return like and shown, (
        f"{r.scores.bits:.2f} bits (retrained {low:.2f} to {high:.2f}), AUC {area:.2f} (retrained {least:.2f} to "
        f"{most:.2f}), kept {case.kept(r.scores):.2f}, perplexity x{case.dearer(r.scores):.3f}; teacher {told}"
    )


def told_apart(bench: Bench, model: LanguageModel) -> float:
    """AUC of the secrets' loss between the forgotten and people nobody read, in all forms: 1 knows the forgotten.

    Not against the strangers of the erasure: those are few, and made up of easier tokens.
    """
    asked = [row for rows in bench.asked.values() for row in rows]
    found = Membership().run(Target(model), asked, bench.unread)
    area = next(s.contrast for s in found.scores if s.metric == "secret_loss")
    return area.value if area is not None else float("nan")


def _leaks(case: Case, options: Options) -> tuple[bool, float]:
    """Whether these teachers are refused, and the mean bits of the forgotten after one that nobody checked."""
    try:
        case.unlearned("loo_ensemble", options)
        refused = False
    except UnlearningFailed as failed:
        refused = failed.code is Code.METHOD_INAPPLICABLE
    model = case.unlearned("loo_ensemble", {**options, "clean": 0.0})[0]
    return refused, fmean(bits_of(case.bench, model))
