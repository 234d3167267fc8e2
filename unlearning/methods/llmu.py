"""Large language model unlearning: ascent on the answers, descent on random other answers, KL on ordinary records.

After LLMU (Yao et al. 2023, arXiv 2310.10683). A record has no question and answer, but it has secrets and the text
around them: the secrets are the answer, and everything else, the person's name too, is the question. A random answer is
the person's own passage with strangers' secrets in it. Strangers are made up, so nobody's true secret is taught under
the person's name.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

import torch

from domain.errors import Code, UnlearningFailed
from domain.records import SpanKind
from unlearning.batches import batch_of, endless
from unlearning.corpus import Corpus
from unlearning.encoding import Encoded
from unlearning.losses import ascent, masked_mean, token_nll
from unlearning.models import Kind, LanguageModel
from unlearning.retaining import marked, nameless
from unlearning.tuning import Knobs, drift, require_least, targets, tuning
from unlearning.unlearned import Unlearned, seeded


@dataclass(frozen=True, kw_only=True)
class Llmu(Knobs):
    """LLMU: forget_weight * (-nll of the secrets) + random_weight * nll of random ones + normal_weight * KL.

    The KL is KL(original || current) on neighbours' passages: normal text must have the form of the forgotten.

    Attributes:
        forget_weight, random_weight, normal_weight: the authors' .5, 1 and 1.
        answers: random answers per passage, drawn once (the authors' K = 5).
        batch: passages of each sort per step (the authors' 2).
        steps: optimiser steps (the authors' 1000).
        rate: the authors' 2e-6, falling evenly to 0.
        the rest: as in `Knobs`.
    """

    steps: int = 1000
    rate: float = 2e-6
    batch: int = 2
    answers: int = 5
    forget_weight: float = 0.5
    random_weight: float = 1.0
    normal_weight: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_least(self, batch=1, answers=1)

    def unlearn(self, model: LanguageModel, corpus: Corpus) -> Unlearned:
        """Return the model that has forgotten.

        Raises `UnlearningFailed`: no secrets, no neighbours, no strangers, or as `Tuning` does.
        """
        corpus.require_neighbours()
        corpus = replace(corpus, forget=nameless(corpus.forget))
        facts = targets(model, corpus)
        if model.kind is Kind.CLASSIFIER:
            raise UnlearningFailed(
                Code.METHOD_INAPPLICABLE,
                place="method llmu",
                remedy="strangers' answers are taught in the place of the person's, and a classifier's are the same; "
                "order another method.",
            )
        random_rows = mismatches(corpus, self.answers, model.context)
        generator = seeded(corpus.seed)
        with tuning("llmu", model, self, corpus.seed) as running:
            after = running.after

            def loss_of(rows: tuple[list[Encoded], list[Encoded]]) -> _Step:
                forget = batch_of(after, rows[0], generator)
                secret = ascent(token_nll(forget.logits(after), forget.labels), forget.secret)
                other = batch_of(after, [r for x in rows[0] for r in random_rows[x.key]], generator)
                mismatch = masked_mean(token_nll(other.logits(after), other.labels), other.secret)
                normal = drift(model, after, batch_of(after, rows[1], generator))
                loss = (
                    self.forget_weight * secret
                    + self.random_weight * mismatch
                    + self.normal_weight * normal
                )
                return loss, {
                    "secret_nll": -float(secret.detach()),
                    "random_nll": float(mismatch.detach()),
                    "neighbours_kl": float(normal.detach()),
                }

            pairs = zip(
                endless([r for r in corpus.forget if r.spans], self.batch, generator),
                endless(corpus.neighbours, self.batch, generator),
                strict=False,
            )
            running.descend(
                islice(pairs, self.steps),
                loss_of,
                rate=lambda step: self.rate * (1 - step / self.steps),
            )
            return running.unlearned({**facts, "answers": float(self.answers)})


_Step = tuple[torch.Tensor, dict[str, float]]


def mismatches(corpus: Corpus, count: int, context: int) -> dict[object, list[Encoded]]:
    """For each forget passage, by its key, `count` copies with strangers' secrets of the same kinds.

    Drawn by the corpus's seed. A value that would make the passage longer than `context` is cut. Raises
    `UnlearningFailed` (NO_CONTROLS) when no stranger has a secret of a kind.
    """
    order = random.Random(corpus.seed)
    values: dict[SpanKind, list[tuple[int, ...]]] = {}
    for row in corpus.controls:
        for span in row.spans:
            values.setdefault(span.kind, []).append(row.ids[span.start : span.end])
    pools = {kind: sorted(set(found)) for kind, found in values.items()}
    if any(span.kind not in pools for row in corpus.forget for span in row.spans):
        raise UnlearningFailed(
            Code.NO_CONTROLS,
            place="the control group",
            remedy="no stranger has a secret of each of the person's kinds to answer with; ask for more controls.",
        )
    return {
        row.key: [
            _spliced(row, [order.choice(pools[span.kind]) for span in row.spans], context)
            for _ in range(count)
        ]
        for row in corpus.forget
    }


def _spliced(row: Encoded, values: Sequence[tuple[int, ...]], context: int) -> Encoded:
    """The row with its n-th secret replaced by the n-th value. Its text is left empty: nobody wrote it."""
    ids: list[int] = []
    spans, at, room = [], 0, max(0, context - len(row))
    for span, value in zip(row.spans, values, strict=True):
        ids += row.ids[at : span.start]
        wide = span.end - span.start
        fitting = value[: wide + room]
        room -= max(0, len(fitting) - wide)
        spans.append(replace(span, start=len(ids), end=len(ids) + len(fitting), candidates=()))
        ids += fitting
        at = span.end
    ids += row.ids[at:]
    made = replace(row, ids=tuple(ids), spans=tuple(spans), sensitive=(False,) * len(ids), text="")
    return marked(made, lambda _: True)
