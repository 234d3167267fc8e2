"""Where does the true secret rank among others of its form? At zero extraction it may still rank first."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch

from domain.intervals import rate
from domain.outcomes import AttackResult, Estimate, Rule, Score
from domain.records import SpanKind
from unlearning.attacks.asking import plain, require_text
from unlearning.attacks.groups import require_groups, secrets
from unlearning.batches import batch_of
from unlearning.encoding import Encoded, TokenSpan, pad
from unlearning.generation import repeated, shared_cache
from unlearning.losses import token_nll
from unlearning.models import Kind, LanguageModel, tokens_per_batch
from unlearning.scoring import Target, masked_log_probability
from unlearning.statistics import group_range, mean


@dataclass(frozen=True)
class Exposure:
    """Exposure by rank (Carlini et al. 2019): log2 of the number of values of the form, minus log2 of the truth's rank.

    The candidates were drawn when the trial was prepared, by the same rule for the person and for people the model
    never saw. The rank is by the log-probability of the whole value given the text before it; a tie ranks before the
    truth, as in TF-Privacy, and a truth that is not a number ranks first. A stranger's mean is about 1.4 bits.
    `exposure` is the mean over a person's secrets; the controls' upper bound is the end of their range, beyond which
    one stranger in twenty lies. `ranked_first` is the rate of values that are the model's first choice of all in some
    passage, `ranked_last` of those that are its last: whoever knows what ascent leaves behind picks them as easily. One
    value is one trial however many passages it stands in, since it ranks alike in all of them.

    Attributes:
        fewest: secrets with fewer candidates than this are not ranked.
        most: candidates that are used, the first ones.
        tail: share of strangers who may lie beyond their range; smaller where several such tests are made.
    """

    fewest: int = 15
    most: int = 127
    tail: float = 0.05

    def __post_init__(self) -> None:
        if not 1 <= self.fewest <= self.most or not 0.001 <= self.tail < 0.5:
            raise ValueError(
                "a rank needs candidates, most at least fewest, and a tail of .001 to 1/2"
            )

    def run(
        self, target: Target, members: Sequence[Encoded], controls: Sequence[Encoded]
    ) -> AttackResult:
        """Bits of exposure of the person, and the range of people the model never saw."""
        require_groups(members, controls)
        require_text(target.model, "exposure")
        with target.model.evaluating():
            ours, theirs = self._people(target, members), self._people(target, controls)
        if not ours or not theirs:
            return AttackResult("exposure", ())
        mine = mean([bits for values in ours.values() for bits in _bits(values)])
        means = [mean(list(_bits(values))).value for values in theirs.values()]
        ends = [
            Score(f"ranked_{end}", "values", _at(ours, end), _at(theirs, end), rule=Rule.FIRST)
            for end in ("first", "last")
        ]
        bits = Score("exposure", "bits", mine, group_range(means, self.tail), rule=Rule.RANGE)
        return AttackResult("exposure", (bits, *ends))

    def _people(self, target: Target, rows: Sequence[Encoded]) -> dict[str, "_Values"]:
        found: dict[str, _Values] = {}
        for _, row, span in secrets(rows):
            if len(span.candidates) >= self.fewest:
                asked = replace(span, candidates=span.candidates[: self.most])
                values = found.setdefault(row.person, {})
                place = values.setdefault(plain(target.model, row.ids[span.start : span.end]), [])
                place.append(exposure(target, row, asked))
        return found


class Ranked(NamedTuple):
    """Where one secret ranks: bits of exposure, and whether it is the first, or the last without a tie."""

    bits: float
    first: bool
    last: bool


_Values = dict[str, list[Ranked]]
"""A person's values, by their letters and digits: where each ranks in every passage in which it stands."""


def _bits(values: _Values) -> Iterator[float]:
    return (rank.bits for ranks in values.values() for rank in ranks)


def _at(people: Mapping[str, _Values], end: str) -> Estimate:
    """Rate of the values that rank "first", or "last", in some passage."""
    found = [
        any(getattr(rank, end) for rank in ranks)
        for values in people.values()
        for ranks in values.values()
    ]
    return rate(sum(found), len(found))


def exposure(target: Target, row: Encoded, span: TokenSpan) -> Ranked:
    """Rank of one secret among its candidates; its bits are log2(candidates + 1) - log2(rank)."""
    truth, *others = log_probabilities(target, row, span)
    rank = 1 if math.isnan(truth) else 1 + sum(other >= truth for other in others)
    bits = math.log2(len(others) + 1) - math.log2(rank)
    return Ranked(bits, rank == 1, all(other > truth for other in others))


@torch.no_grad()
def log_probabilities(target: Target, row: Encoded, span: TokenSpan) -> list[float]:
    """log p of the true secret and of each candidate in its place, in nats, the truth first.

    Where the longest of them would not fit into the context, all are asked for with as much less text around them.
    """
    values = [row.ids[span.start : span.end], *span.candidates]
    longest, model = max(len(v) for v in values), target.model
    if model.kind in {Kind.SEQ2SEQ, Kind.CLASSIFIER}:
        return _answered(model, row, span, values)
    if model.masked:
        before, after = _around(row.ids, span, model.context - longest)
        swapped = [_swapped(before, value, after, span.kind) for value in values]
        return [masked_log_probability(model, r, r.spans[0]) for r in swapped]
    before = row.ids[: span.start][max(0, span.start + longest - model.context) :]
    return _continued(model, before, values)


def _continued(
    model: LanguageModel, before: Sequence[int], values: Sequence[Sequence[int]]
) -> list[float]:
    """log p of each value after `before`, which is read once."""
    cache, logits = shared_cache(model, before)
    first = logits[-1].log_softmax(-1)  # (V,)
    step, found = max(1, tokens_per_batch(model) // max(len(v) for v in values)), []
    for at in range(0, len(values), step):
        chunk = values[at : at + step]
        ids, mask = pad(chunk, 0, model.device)  # (C, L)
        total = first[ids[:, 0]]
        if ids.shape[1] > 1:
            seen = mask.new_ones(len(chunk), len(before))
            with model.autocast():
                output = model.network(
                    input_ids=ids[:, :-1],
                    attention_mask=torch.cat([seen, mask[:, :-1]], dim=1),
                    past_key_values=repeated(cache, len(chunk), len(before)),
                    use_cache=True,
                )
            log_p = output.logits.float().log_softmax(-1)
            rest = log_p.gather(-1, ids[:, 1:, None]).squeeze(-1)
            total = total + (rest * mask[:, 1:]).sum(-1)
        found += total.tolist()
    return found


def _answered(
    model: LanguageModel, row: Encoded, span: TokenSpan, values: Sequence[Sequence[int]]
) -> list[float]:
    """log p of each value, or class, after the answer up to the span, the source read."""
    longest = max(len(v) for v in values)
    before = row.ids[: span.start][max(0, span.start + longest - model.context) :]
    rows = [
        replace(row, ids=(*before, *v), sensitive=(False,) * len(before) + (True,) * len(v))
        for v in values
    ]
    step, found = max(1, tokens_per_batch(model) // (len(row.source) + len(before) + longest)), []
    for at in range(0, len(rows), step):
        batch = batch_of(model, rows[at : at + step], torch.Generator())
        nll = token_nll(batch.logits(model), batch.labels)
        found += (-(nll * batch.secret).sum(-1)).tolist()
    return found


def _swapped(
    before: Sequence[int], value: Sequence[int], after: Sequence[int], kind: SpanKind
) -> Encoded:
    ids = (*before, *value, *after)
    span = TokenSpan(len(before), len(before) + len(value), kind)
    return Encoded(ids, tuple(False for _ in ids), (span,), "", "")


def _around(ids: Sequence[int], span: TokenSpan, room: int) -> tuple[Sequence[int], Sequence[int]]:
    """The tokens before and after a span, cut at the far ends to at most `room` in all."""
    before, after = ids[: span.start], ids[span.end :]
    excess = max(0, len(before) + len(after) - room)
    back = min(excess, max(0, len(after) - room // 2))
    return before[excess - back :], after[: len(after) - back]
