"""Where does the true secret rank behind other words than its own? Who hides it in its own passages hides it there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import NamedTuple

from domain.errors import Code, RequestRejected
from domain.intervals import rate
from domain.outcomes import AttackResult, Estimate, Rule, Score
from unlearning.attacks.asking import plain, require_causal
from unlearning.attacks.groups import require_floor, require_groups
from unlearning.attacks.probes import DIRECT, FAMILIES, fitted, questions
from unlearning.encoding import Encoded, TokenSpan
from unlearning.ranking import Ranked, of_many, ranked
from unlearning.scoring import Target
from unlearning.statistics import group_range, mean


@dataclass(frozen=True)
class Reworded:
    """Exposure by rank (Carlini et al. 2019) of every secret behind the prompts of `Prompts`.

    To be said word for word behind another prompt takes more than most models know; to rank before other values there
    takes little. A secret that ranks among strangers' in the person's own passages, and first behind half of their
    sentence, is in the weights still. `reworded` is the mean of log2(candidates + 1) - log2(rank) over secrets x
    prompts, of the person and, for the range of strangers, of each of them; `first` the rate of values that are the
    model's first choice behind at least half of their prompts. The bits behind each family are shown. A tie ranks
    before the truth, and a truth that is not a number first, as in `Exposure`, whose own prompt is left to it. Masked
    models do not continue a prompt: `RequestRejected`, as where nothing can be ranked.

    Attributes:
        families: which of `FAMILIES` to ask with; `inverted` asks for names, which have no candidates.
        prefixes: numbers of tokens shown by `shortened`.
        shots: other people's passages shown by `in_context`.
        fewest: secrets with fewer candidates than this are not ranked.
        most: candidates that are used, the first ones: with 31 the most is 5 bits.
        tail: share of strangers who may lie beyond their range.
    """

    families: tuple[str, ...] = DIRECT
    prefixes: tuple[int, ...] = (5, 10, 25)
    shots: int = 2
    fewest: int = 15
    most: int = 31
    tail: float = 0.05

    def __post_init__(self) -> None:
        if not self.families or set(self.families) - set(DIRECT):
            raise ValueError(f"families must be some of {', '.join(DIRECT)}")
        if any(k < 1 for k in self.prefixes):
            raise ValueError("prefixes must be numbers of tokens, each at least 1")
        require_floor(self, shots=0, fewest=1, most=self.fewest)
        if not 0.001 <= self.tail < 0.5:
            raise ValueError("tail must be from .001 to below 1/2")

    def run(
        self, target: Target, members: Sequence[Encoded], controls: Sequence[Encoded]
    ) -> AttackResult:
        """Bits behind other words, of the person and of people the model never saw."""
        require_groups(members, controls)
        require_causal(target.model, "reworded")
        with target.model.evaluating():
            ours, theirs = (self._ranks(target, rows) for rows in (members, controls))
        if not ours or not theirs:
            raise RequestRejected(
                Code.ATTACK_INAPPLICABLE,
                place="attack reworded",
                remedy="no secret has enough other values of its form to rank it among; lower fewest, or leave it out.",
            )
        shown = [f for f in self.families if {f} <= _families(ours) & _families(theirs)]
        return AttackResult(
            "reworded",
            (
                self._bits("reworded", self.families, ours, theirs, Rule.RANGE),
                Score("first", "values", _first(ours), _first(theirs), rule=Rule.FIRST),
                *(self._bits(f, [f], ours, theirs, Rule.SHOWN) for f in shown),
            ),
        )

    def _ranks(self, target: Target, rows: Sequence[Encoded]) -> "_Ranks":
        """Where each secret ranks behind each of its prompts."""
        asked: dict[_Asked, tuple[Encoded, TokenSpan]] = {}
        for one in questions(target, rows, self.prefixes, self.shots):
            if len(one.span.candidates) < self.fewest:
                continue
            others = one.span.candidates[: self.most]
            longest = max(map(len, (one.ids, *others)))
            own, value = one.row.ids[: one.span.end], plain(target.model, one.ids)
            for family in self.families:
                for pair in FAMILIES[family](one):
                    prompt = fitted(one, *pair, longest)
                    if prompt is not None and prompt[0] != own:
                        ids, start = prompt
                        span = replace(one.span, start=start, end=len(ids), candidates=others)
                        row = Encoded(ids, (False,) * len(ids), (span,), one.row.person, "")
                        asked[_Asked(one.row.person, value, family, ids)] = (row, span)
        found = of_many(target.model, list(asked.values()))
        return {one: ranked(log_p) for one, log_p in zip(asked, found, strict=True)}

    def _bits(
        self, metric: str, families: Sequence[str], ours: "_Ranks", theirs: "_Ranks", rule: Rule
    ) -> Score:
        mine = [rank.bits for one, rank in ours.items() if one.family in families]
        strangers: dict[str, list[float]] = {}
        for one, rank in theirs.items():
            if one.family in families:
                strangers.setdefault(one.person, []).append(rank.bits)
        level = group_range([fmean(bits) for bits in strangers.values()], self.tail)
        return Score(metric, "bits", mean(mine), level, rule=rule)


class _Asked(NamedTuple):
    """Whose value was asked for, and behind which prompt of which family."""

    person: str
    value: str
    family: str
    ids: tuple[int, ...]


_Ranks = Mapping[_Asked, Ranked]


def _families(ranks: _Ranks) -> set[str]:
    return {one.family for one in ranks}


def _first(ranks: _Ranks) -> Estimate:
    """Rate of the values that rank first behind at least half of their prompts."""
    values: dict[tuple[str, str], list[bool]] = {}
    for one, rank in ranks.items():
        values.setdefault((one.person, one.value), []).append(rank.first)
    return rate(sum(fmean(first) >= 0.5 for first in values.values()), len(values))
