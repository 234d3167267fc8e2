"""One seed of the bench with its results so far, and what a row is: a method, its settings, a relation to measure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any

from domain.errors import ErasureError
from domain.outcomes import Edit, Trace
from tests.benchmark.methods_bench import Bench
from tests.benchmark.methods_meter import Cost, metered
from tests.benchmark.methods_scores import Measured, measure, range_of, said_of_others
from unlearning.methods import METHODS
from unlearning.models import LanguageModel

SAID, KEPT, PERPLEXITY = 0.05, 0.9, 1.05
"""At most so many secrets said, at least so many of others' kept, perplexity at most so many times the original's."""
PLACES = ("shards", "key")
"""Options that name what only the bench knows the place of."""
Options = Mapping[str, Any]


@dataclass(frozen=True)
class Result:
    """What an arm made: the model, its scores, how the method ran, what that cost, and with which options."""

    model: LanguageModel
    scores: Measured
    trace: Trace
    cost: Cost
    options: Options

    @property
    def edit(self) -> Edit:
        """What was edited. Raises `ValueError` where the method does not say."""
        if self.trace.edit is None:
            raise ValueError("the method says nothing of its edit")
        return self.trace.edit


@dataclass
class Case:
    """One seed and kind of model, with the results so far.

    Attributes:
        bench: model, trial and who is asked.
        original, controls: scores of the model as it is and of the retrained ones.
        arms: all rows, by name: some relations compare with another.
    """

    bench: Bench
    original: Measured
    controls: Sequence[Measured]
    arms: Mapping[str, "Arm"]
    _results: dict[str, Result] = field(default_factory=dict)

    def result(self, name: str) -> Result:
        """The result of another arm, made when it is first asked for."""
        if name not in self._results:
            arm = self.arms[name]
            with metered() as cost:
                model, trace = self.unlearned(arm.method, arm.options)
            scores = measure(self.bench, model)
            self._results[name] = Result(model, scores, trace, cost, arm.options)
        return self._results[name]

    def options(self, name: str) -> dict[str, Any]:
        """Another row's."""
        return dict(self.arms[name].options)

    def unlearned(self, method: str, options: Options) -> tuple[LanguageModel, Trace]:
        """A method's model and trace, nothing measured."""
        places = {name: self.bench.lies(options[name]) for name in PLACES if name in options}
        given = {**options, **places}
        made = METHODS[method](**given).unlearn(self.bench.model, self.bench.trial.corpus)
        return made.model, made.trace

    def kept(self, scores: Measured) -> float:
        """Share of what the original says about people in no loss that is still said; 1 where it says nothing."""
        return scores.others / self.original.others if self.original.others else 1.0

    def kept_by(self, model: LanguageModel) -> float:
        """The same of a model that was not scored."""
        return said_of_others(self.bench, model) / self.original.others

    def dearer(self, scores: Measured) -> float:
        """Perplexity over the original's."""
        return scores.perplexity / self.original.perplexity

    @property
    def level(self) -> float:
        """Secret nll of the retrained controls, nats."""
        return fmean(c.secret_nll for c in self.controls)

    def unsaid(self, scores: Measured) -> bool:
        """Whether in no form more is said than by retrained controls, which guess a class now and then, and `SAID`."""
        guessed = max(max(c.extraction.values()) for c in self.controls)
        return max(scores.extraction.values()) <= guessed + SAID

    def within(self, scores: Measured) -> bool:
        """Whether the forgotten are as exposed as on retrained controls: no more, and no less, which betrays too."""
        low, high = range_of(self.controls)
        return low <= scores.bits <= high

    def like_retrained(self, scores: Measured) -> bool:
        """Within the retrained range in every form, others kept, perplexity within bounds."""
        kept = self.kept(scores) >= KEPT and self.dearer(scores) <= PERPLEXITY
        return self.unsaid(scores) and self.within(scores) and kept


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
        victim: what it is shown on, a key of `methods_world.VICTIMS`.
        seeds: on how many worlds, unless one asks for another number.
    """

    name: str
    method: str
    system: str
    text: str
    relation: Relation
    options: Options = field(default_factory=dict)
    victim: str = "causal"
    seeds: int = 3

    def run(self, case: Case) -> dict[str, Any]:
        """Scores, differences from the controls, and the relation; raises `ErasureError` as the method does."""
        result = case.result(self.name)
        scores = result.scores
        try:
            holds, evidence = self.relation(case, result)
        except ErasureError as error:
            holds, evidence = False, f"what it is compared with stopped: {error.code}"
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
            "seconds": result.cost.seconds,
            "tokens_per_second": result.cost.tokens / result.cost.seconds,
            "peak_bytes": result.cost.peak_bytes,
            "backward_passes": result.trace.facts["backward_passes"],
            "relation": holds,
            "evidence": evidence,
        }
