"""Efficient unlearning: layers behind the feed-forward blocks learn to be unlike the model on the person, like it else.

After EUL (Chen & Yang 2023, EMNLP). All weights are frozen but those of linear unlearning layers, which fold into the
model in the end (`unlearning.unlearning_layers`). With x_r retained and x_f forgotten passages, F the model as it was
and F' with its layers, the paper minimises

    KL(F || F') on x_r - alpha KL(F || F') on x_f  +  task * nll of F' on x_r  -  language * nll of F' on x_f

The two terms on x_f have no end: the secrets become so unlikely that nobody else's text is, which gives the person
away (reference measurement: 25 nats a token where chance has 5.4). And the start is a saddle: at F' = F the KL has no
slope at all, and the nll hardly any where the text is known by heart. So by default each token's terms on x_f end at
the level of a stranger's token in the same place, only secrets count there, each token's log odds are raised until it
has left the saddle, retained passages have the same form as the forgotten ones, and both stand in the same step.
`bounded: false` is the paper's form.

People who ask together are forgotten together, or each with layers of their own that are then fused in closed form, as
the paper does with requests that come one by one (`fused`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import torch

from domain.outcomes import Trace
from unlearning.batches import Batch, batch_of, endless
from unlearning.corpus import Corpus
from unlearning.encoding import Encoded
from unlearning.fusion import fuse
from unlearning.levels import Levels
from unlearning.losses import (
    ascent,
    capped_ascent,
    capped_odds,
    masked_mean,
    token_kl,
    token_nll,
)
from unlearning.models import LanguageModel, copy_of
from unlearning.rehearsal import rehearse
from unlearning.tuning import Rehearsed, Tuning, require_least, targets, tuning
from unlearning.unlearned import Clock, Unlearned, require_finite_weights, seeded
from unlearning.unlearning_layers import fold, grams, insert, outputs

_Step = tuple[list[Encoded], list[Encoded], list[Encoded]]
"""Neighbours' passages, the model's own speech, forgotten passages; any may be empty."""
Weights = tuple[torch.Tensor, ...]
"""One matrix for each layer."""


@dataclass(frozen=True, kw_only=True)
class Eul(Rehearsed):
    """Selective teacher and student, task loss, and negative language-model loss, in unlearning layers.

    Attributes:
        kl: weight of both KL terms; 0 leaves them out.
        alpha: of the forgotten against the retained KL (the authors' .8).
        task: weight of the retained nll (the authors' lambda, 1).
        language: weight of the negative nll of the forgotten (the authors' gamma, .2).
        retain, rehearsal: weights of both retained terms on neighbours' passages (the authors' 1) and on ordinary text
            and the model's own speech (none there).
        bounded: False: the paper's form, an epoch of retained passages and an epoch of forgotten ones in turn, whole
            texts, no end.
        warm: up to this share of where its terms end a secret token's log odds are raised beside its nll, which has no
            slope to speak of as long as the token is known by heart.
        level: each token's terms end at this share of the level of a stranger's token in the same place.
        near: stop when each secret token's nll, counted up to where its terms end, has on average this share of that.
            The plain mean would stop where some secrets are far beyond their end and others untouched.
        fused: each person who asks has layers of their own, learnt on the model as it was; they are fused
            (`unlearning.fusion`). Layers and Grams are gone with the run, so it is for people who ask together.
        lora_rank: of each layer, the product of two factors then; 0: full matrices.
        the rest: as in `Rehearsed` and `Knobs`. The authors' rate is 5e-5, for T5 of 220 M and 3 B.
    """

    kl: float = 1.0
    alpha: float = 0.8
    task: float = 1.0
    language: float = 0.2
    bounded: bool = True
    warm: float = 0.1
    level: float = 1.0
    near: float = 0.9
    fused: bool = False
    steps: int = 120
    rate: float = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        require_least(self, kl=0, alpha=0, task=0, language=0, warm=0, level=0, near=0)

    def unlearn(self, model: LanguageModel, corpus: Corpus) -> Unlearned:
        """Return the model that has forgotten, its layers folded in.

        Raises `UnlearningFailed`: no secrets, no neighbours, no strangers, no feed-forward blocks, or as `Tuning`.
        """
        if not self.fused:
            return self.learn(model, corpus).unlearned
        clock, traces = Clock("eul", self.budget_seconds), list[Trace]()
        layers, moments = list[Weights](), list[Weights]()
        for alone in corpus.apart():
            left = replace(self, budget_seconds=max(0.0, self.budget_seconds - clock.seconds))
            one = left.learn(model, alone)
            traces.append(one.unlearned.trace)
            layers.append(one.layers)
            moments.append(one.grams)
            del one  # its model is not needed, and large
        with model.evaluating():
            after = copy_of(model)
        by_layer = zip(zip(*layers, strict=True), zip(*moments, strict=True), strict=True)
        fold(outputs("eul", after), [fuse(own, seen) for own, seen in by_layer])
        require_finite_weights("eul", after)
        return Unlearned(after, _together(traces, clock.seconds))

    def learn(self, model: LanguageModel, corpus: Corpus) -> "Learnt":
        """The same with the layers by themselves and their Grams, for fusion with other requests'. Raises alike."""
        facts = targets(model, corpus)
        corpus.require_neighbours()
        generator = seeded(corpus.seed)
        levels = Levels(model, corpus)
        with tuning("eul", model, replace(self, lora_rank=0), corpus.seed) as running:
            layers = insert("eul", running.after, self.lora_rank, corpus.seed)
            running.finish = layers.fold
            said = rehearse(model, corpus, self.samples, self.length, generator)
            losses = _Losses(self, model, running, levels, generator)
            running.descend(
                islice(self._items(corpus, said, generator), self.steps),
                losses.of,
                rate=self.rate_at,
                reached=losses.reached,
            )
            moments = grams(layers.modules, running.after, corpus.forget, self.batch)
            weights = layers.weights()
            facts |= {"never_seen_nll": levels.mean, "layers": float(len(weights))}
            return Learnt(running.unlearned(facts), tuple(weights), tuple(moments))

    def _items(
        self, corpus: Corpus, said: Sequence[Encoded], generator: torch.Generator
    ) -> Iterator[_Step]:
        forget = endless(corpus.forget, self.batch, generator)
        neighbours = endless(corpus.neighbours, self.batch, generator)
        spoken = endless(said, self.batch, generator)
        if self.bounded:
            for mine, theirs in zip(forget, neighbours, strict=False):
                yield theirs, next(spoken, []), mine
        rounds = [-(-len(rows) // self.batch) for rows in (corpus.neighbours, corpus.forget)]
        if not (self.retain or (self.rehearsal and said)):
            rounds[0] = 0  # there is nothing to learn in them
        while True:
            for _ in range(rounds[0]):
                yield next(neighbours), next(spoken, []), []
            for _ in range(rounds[1]):
                yield [], [], next(forget)


@dataclass(frozen=True)
class Learnt:
    """A model that has forgotten, and what it learnt: W (d, d) and X'X (d, d) of each layer, on the forgotten passages.

    The Grams are personal data (`unlearning.unlearning_layers.grams`).
    """

    unlearned: Unlearned
    layers: Weights
    grams: Weights


def _together(traces: Sequence[Trace], seconds: float) -> Trace:
    """One person after the other: at the target where all are; facts that count added up, others their mean."""
    stops = {trace.stopped for trace in traces}
    facts = {
        name: sum(trace.facts[name] for trace in traces)
        / (1 if name in {"backward_passes", "unpredicted"} else len(traces))
        for name in traces[0].facts
    }
    steps = tuple(step for trace in traces for step in trace.steps)
    stopped = stops.pop() if len(stops) == 1 else "steps"
    return Trace("eul", steps, stopped, seconds, {**facts, "fused": float(len(traces))})


class _Losses:
    """The loss of one step, and the stop rule."""

    def __init__(
        self,
        knobs: Eul,
        model: LanguageModel,
        running: Tuning,
        levels: Levels,
        generator: torch.Generator,
    ) -> None:
        self.knobs, self.model, self.after = knobs, model, running.after
        self.levels, self.generator = levels, generator

    def of(self, rows: _Step) -> tuple[torch.Tensor, dict[str, float]]:
        neighbours, spoken, forgotten = rows
        loss, terms = torch.zeros((), device=self.after.device), dict[str, float]()
        for name, given, weight in (
            ("neighbours", neighbours, self.knobs.retain),
            ("rehearsal", spoken, self.knobs.rehearsal),
            ("forgotten", forgotten, 1.0),
        ):
            if given and weight:
                term = (
                    self._forgotten(given) if name == "forgotten" else self._retained(name, given)
                )
                loss, terms = loss + weight * term[0], terms | term[1]
        return loss, terms

    def reached(self, terms: Mapping[str, float]) -> bool:
        """The stop rule."""
        return terms.get("share_of_level", 0.0) >= self.knobs.near

    def _read(self, rows: list[Encoded]) -> tuple[Batch, torch.Tensor, torch.Tensor, torch.Tensor]:
        """A batch, the logits (B, P, V) of F', KL(F || F') and nll of F', (B, P) each."""
        batch = batch_of(self.after, rows, self.generator)
        with torch.no_grad():
            reference = batch.logits(self.model)
        logits = batch.logits(self.after)
        return batch, logits, token_kl(reference, logits), token_nll(logits, batch.labels)

    def _retained(self, name: str, rows: list[Encoded]) -> tuple[torch.Tensor, dict[str, float]]:
        batch, _, kl, nll = self._read(rows)
        kept, told = masked_mean(kl, batch.valid), masked_mean(nll, batch.valid)
        loss = self.knobs.kl * kept + self.knobs.task * told
        return loss, {f"{name}_kl": float(kept.detach()), f"task_{name}": float(told.detach())}

    def _forgotten(self, rows: list[Encoded]) -> tuple[torch.Tensor, dict[str, float]]:
        knobs = self.knobs
        batch, logits, kl, nll = self._read(rows)
        secret = masked_mean(nll.detach(), batch.secret)
        terms = {
            "secret_nll": float(secret),
            "secret_kl": float(masked_mean(kl.detach(), batch.secret)),
        }
        if not knobs.bounded:
            far = knobs.kl * knobs.alpha * ascent(kl, batch.valid)
            return far + knobs.language * ascent(nll, batch.valid), terms
        cap = knobs.level * self.levels.of(rows, batch.shift, nll.device)
        short = capped_ascent(nll, batch.secret, cap)
        ends = masked_mean(cap, batch.secret).clamp(min=1e-9)
        terms["share_of_level"] = 1 - float(short.detach() / ends)
        warm = capped_odds(logits, batch.labels, batch.secret, knobs.warm * cap)
        far = knobs.kl * knobs.alpha * capped_ascent(kl, batch.secret, cap)
        return far + knobs.language * (warm + short), terms
