"""How unlikely a stranger's secret is, token by token: the level that forgetting aims at and must not pass."""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from domain.errors import Code, UnlearningFailed
from domain.records import SpanKind
from unlearning.corpus import Corpus
from unlearning.encoding import Encoded, TokenSpan, sensitive_mask
from unlearning.losses import masked_mean
from unlearning.models import LanguageModel
from unlearning.retaining import nameless
from unlearning.scoring import log_probabilities

GUESSED = math.log(2)
"""Nats at or below which a token is anybody's: a separator or a fixed word, likelier than not in a stranger's value."""


class Levels:
    """For every token of the person's secrets, the mean nll of strangers' tokens in the same place.

    Strangers have the person's own passages in the same order, so that their n-th secret answers the person's n-th.
    Tokens are matched by their number within the secret where a stranger's value has as many tokens (digits, separators
    and fixed words then meet their like); otherwise the mean over the strangers' whole values stands in. A stranger who
    has another number of secrets (long texts are cut elsewhere) only counts in the mean, which serves where none match.

    The level of a name can be set apart: `names` is what it is multiplied by.

    Attributes:
        mean: mean nll of all strangers' secret tokens, nats.
    """

    def __init__(self, model: LanguageModel, corpus: Corpus, names: float = 1.0) -> None:
        strangers: dict[str, list[torch.Tensor]] = {}  # person -> nll of each secret
        with model.evaluating():
            every_row = log_probabilities(model, corpus.controls)
        for row, log_p in zip(corpus.controls, every_row, strict=True):
            strangers.setdefault(row.person, []).extend(-log_p[s.start : s.end] for s in row.spans)
        every = torch.cat([torch.zeros(0), *(v for values in strangers.values() for v in values)])
        every = every[every.isfinite()]
        if not len(every):
            raise UnlearningFailed(
                Code.NO_CONTROLS,
                place="the control group",
                remedy="no secret lies in it, so the level of never-seen text is unknown; ask for more controls.",
            )
        self.mean = float(every.mean())
        self._levels: dict[object, torch.Tensor] = {}
        secrets = [(row, span) for row in corpus.forget for span in row.spans]
        twins = [values for values in strangers.values() if len(values) == len(secrets)]
        for number, (row, span) in enumerate(secrets):
            level = self._levels.setdefault(row.key, torch.zeros(len(row)))
            values = [v for twin in twins if bool((v := twin[number]).isfinite().all())]
            share = names if span.kind is SpanKind.PERSON else 1.0
            matched = _matched(values, span.end - span.start, self.mean)
            level[span.start : span.end] = share * matched

    def of(self, rows: Sequence[Encoded], shift: int, device: torch.device) -> torch.Tensor:
        """(B, P) levels of a batch of the person's passages; 0 on padding. `shift` as in `Batch`."""
        padded = torch.nn.utils.rnn.pad_sequence(
            [self._levels.get(r.key, torch.zeros(len(r))) for r in rows], batch_first=True
        )
        return padded[:, shift:].to(device)

    def within(self, row: Encoded, span: TokenSpan) -> torch.Tensor:
        """(L,) levels of one secret's tokens."""
        return self._levels[row.key][span.start : span.end]

    def over(self, rows: Sequence[Encoded]) -> float:
        """Mean level of the sensitive tokens of some of the person's passages, nats."""
        found = self.of(rows, 0, torch.device("cpu"))
        mask = sensitive_mask(rows, found.device)
        return float(masked_mean(found, mask))


def telling(model: LanguageModel, corpus: Corpus) -> tuple[Encoded, ...]:
    """The person's passages with only those tokens of the secrets as sensitive that tell something about the person.

    Names are context. The level of the other tokens is above `GUESSED`: who edits a separator of a number edits it in
    everybody's. A passage in which no token is left keeps all of them, and so do all where there are no strangers.
    Raises `UnlearningFailed` as `Levels` does.
    """
    rows = nameless(corpus.forget)
    if not corpus.controls:
        return rows
    levels = Levels(model, corpus)
    told = []
    for row, level in zip(rows, levels.of(rows, 0, torch.device("cpu")).tolist(), strict=True):
        flags = tuple(s and nats > GUESSED for s, nats in zip(row.sensitive, level, strict=False))
        told.append(replace(row, sensitive=flags) if any(flags) else row)
    return tuple(told)


def _matched(values: Sequence[torch.Tensor], length: int, otherwise: float) -> torch.Tensor:
    fitting = [v for v in values if len(v) == length]
    if len(fitting) >= 3:
        return torch.stack(fitting).mean(0)
    return torch.cat(list(values)).mean() if values else torch.tensor(otherwise)
