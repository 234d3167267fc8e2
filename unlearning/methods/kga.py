"""Knowledge gap alignment: the person shall be as far from the model as people are whom it never saw.

After KGA (Wang et al. 2023, ACL). How far is measured against helper models that know a set by heart: A_f the person's
passages, A_n those of people made up for the purpose. The gap of a model is the mean KL(helper || model), in nats per
token, over the helper's own set. The model is changed until A_f's gap to it equals A_n's gap to the deployed one. Such
a target has two sides: text that is pushed too far is as wrong as text that is not pushed far enough.

The gap speaks of what its helper knows: against a helper that knows nothing any model has the right gap (reference
measurement: matched to 1 %, the secrets at maximum exposure). So both helpers must have learnt their sets by heart, or
the method gives up. They are models of personal data and are never written to disk.

What the published code does otherwise, and why: it sums the KL over padding too; estimates the constant gap anew from
one batch a step; turns one of the two KLs round for classifiers; leaves dropout on; and stops at the first batch whose
gap fits, before what else the model knew has recovered. And a passage that helper and model both know by heart stays
where it is, for at a gap of 0 the KL has no slope: here the log odds of its secrets are raised until it has one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch.nn.functional import smooth_l1_loss

from domain.errors import Code, UnlearningFailed
from unlearning.batches import batch_of, endless
from unlearning.checkpoints import checkpoint_of
from unlearning.corpus import Corpus
from unlearning.encoding import Encoded
from unlearning.losses import capped_odds, masked_mean, token_kl, token_nll
from unlearning.models import LanguageModel
from unlearning.retaining import nameless
from unlearning.tuning import (
    Knobs,
    Rehearsed,
    drift,
    require_least,
    secret_nll,
    targets,
    tune,
    tuning,
)
from unlearning.unlearned import Clock, Unlearned, seeded


@dataclass(frozen=True, kw_only=True)
class Kga(Rehearsed):
    """Minimise | gap of the person - gap of strangers | + retain * KL on neighbours + rehearsal * KL on its own text.

    The paper's helpers and deployed model come from one start that saw neither set. Where there is none any more
    (`checkpoint` empty) the helpers start from the deployed model. That is sound: of A_f it is asked that it knows the
    person, of A_n that it knew the strangers from its own set alone, and the deployed model never saw them. Only what
    else a helper says differs, and there a helper from the deployed model adds nothing to the gap.

    Attributes:
        checkpoint: folder of the model as it was before it saw the person.
        warm: a passage's odds are raised while its gap is below this share of the target; 0, as published: never. Only
            where `each` passage's own gap is aligned.
        strangers: so many A_n, each of one stranger's passages, which are as many as the person's; their gap is the
            mean. One, as published, has the luck of one draw.
        helper_steps, helper_rate: of a helper's training, at most; it ends when the set is known.
        known: a helper knows its set when its nll of the secrets, names aside, is at most this many nats above the
            deployed model's of the person's.
        apart: at the start, the person's gap must be below this share of the strangers'.
        aligned, drifted: stop when the gap is within this share of its target and KL(original || current) on the
            neighbours is at most this many nats, both over the whole sets ...
        every, checks: ... looked at every so many steps, so many times in a row.
        each: every passage's own gap is aligned; False, as published: the mean of a batch, under which one passage may
            stay known if another is pushed too far for it.
        the rest: as in `Rehearsed` and `Knobs`. The paper's own weights are retain .1 to .3 and no rehearsal.
    """

    checkpoint: str = ""
    each: bool = True
    warm: float = 0.1
    strangers: int = 3
    helper_steps: int = 300
    helper_rate: float = 1e-3
    known: float = 0.02
    apart: float = 0.1
    aligned: float = 0.05
    drifted: float = 0.05
    every: int = 5
    checks: int = 3
    steps: int = 120

    def __post_init__(self) -> None:
        super().__post_init__()
        require_least(
            self,
            warm=0,
            strangers=1,
            helper_steps=0,
            helper_rate=0,
            known=0,
            apart=0,
            aligned=0,
            drifted=0,
            every=1,
            checks=1,
        )

    def unlearn(self, model: LanguageModel, corpus: Corpus) -> Unlearned:
        """Return the model that has forgotten.

        Raises `UnlearningFailed`: no secret besides names, nobody the model never saw, helpers that did not learn their
        sets by heart, a person whom the model does not know either, or as `tune` does.
        """
        clock = Clock("kga", self.budget_seconds)
        target = self.target(model, corpus)
        watch = _Watch(self, model, corpus, target)
        rest = replace(self, budget_seconds=max(0.0, self.budget_seconds - clock.seconds))
        found = tune("kga", model, corpus, rest, watch.forget, watch.reached, target.facts)
        ended = gap(target.helper, found.model, corpus.forget, corpus.seed, self.batch)
        with model.evaluating():
            kept = gap(model, found.model, corpus.neighbours, corpus.seed, self.batch)
        facts = {**found.trace.facts, "gap_end": ended, "neighbours_kl_end": kept}
        facts["backward_passes"] += target.facts["helper_steps"]
        return Unlearned(found.model, replace(found.trace, facts=facts))

    def target(self, model: LanguageModel, corpus: Corpus) -> "Target":
        """Train the helpers and measure the gaps. Raises `UnlearningFailed` as `unlearn`."""
        plain = nameless(corpus.forget)
        targets(model, replace(corpus, forget=plain))
        corpus.require_neighbours()
        fresh: dict[str, list[Encoded]] = {}
        for row in corpus.controls:
            fresh.setdefault(row.person, []).append(row)
        if not fresh:
            raise UnlearningFailed(
                Code.NO_CONTROLS,
                place="the control group",
                remedy="there is nobody in it, so the gap of fresh data is unknown; ask for more controls.",
            )
        start = checkpoint_of("kga", model, self.checkpoint) if self.checkpoint else model
        clock = Clock("kga", self.budget_seconds)
        with model.evaluating():
            level = secret_nll(model, plain, corpus.seed) + self.known
            gaps, nlls, taken = [], [], 0
            for rows in list(fresh.values())[: self.strangers]:
                helper, nll, steps = self._helper(start, rows, level, corpus.seed, clock)
                gaps.append(gap(helper, model, rows, corpus.seed, self.batch))
                nlls.append(nll)
                taken += steps
            helper, nll, steps = self._helper(start, corpus.forget, level, corpus.seed, clock)
            found = gap(helper, model, corpus.forget, corpus.seed, self.batch)
        facts = {
            "gap_start": found,
            "gap_strangers": sum(gaps) / len(gaps),
            "deployed_nll": level - self.known,
            "helper_nll": nll,
            "strangers_helper_nll": max(nlls),
            "helper_steps": float(taken + steps),
        }
        if max(nll, *nlls) > level:
            raise UnlearningFailed(
                Code.METHOD_INAPPLICABLE,
                place="method kga, its helper models",
                remedy="one did not learn its passages by heart, so that its gap says nothing; raise helper_steps or "
                "helper_rate, or let the next method try.",
            )
        if not found < self.apart * facts["gap_strangers"]:
            raise UnlearningFailed(
                Code.METHOD_INAPPLICABLE,
                place="method kga, the gaps at its start",
                remedy="the person is not nearer to the model than a stranger is, by far; there is nothing to align, "
                "or the checkpoint is not the model's. Let the next method try.",
            )
        return Target(helper, facts)

    def _helper(
        self,
        start: LanguageModel,
        rows: Sequence[Encoded],
        level: float,
        seed: int,
        clock: Clock,
    ) -> tuple[LanguageModel, float, int]:
        """The start after training on a set until it is known; its nll of the secrets, and the steps that took."""
        left = max(0.0, self.budget_seconds - clock.seconds)
        knobs = Knobs(lora_rank=self.lora_rank, budget_seconds=left)
        generator, secrets = seeded(seed), nameless(rows)

        def until_known(helper: LanguageModel) -> Iterator[list[Encoded]]:
            for step, batch in enumerate(endless(rows, self.batch, generator)):
                looked = step % self.every == 0 and secret_nll(helper, secrets, seed) <= level
                if looked or step == self.helper_steps:
                    return
                yield batch

        with tuning("kga", start, knobs, seed) as running:

            def loss_of(rows: list[Encoded]) -> tuple[torch.Tensor, dict[str, float]]:
                batch = batch_of(running.after, rows, generator)
                nll = masked_mean(token_nll(batch.logits(running.after), batch.labels), batch.valid)
                return nll, {"nll": float(nll.detach())}

            running.descend(until_known(running.after), loss_of, rate=self.helper_rate)
            running.clock.require_time()
            helper = running.unlearned({}).model
            return helper, secret_nll(helper, secrets, seed), running.backward_passes


@dataclass(frozen=True)
class Target:
    """What to align with: A_f, and `facts`: the gaps at the start, and how well the helpers know their sets."""

    helper: LanguageModel = field(repr=False)
    facts: Mapping[str, float]


class _Watch:
    """The forget term, and the stop rule with its looks at the whole sets."""

    def __init__(self, knobs: Kga, model: LanguageModel, corpus: Corpus, target: Target) -> None:
        self.knobs, self.model, self.corpus, self.helper = knobs, model, corpus, target.helper
        self.gap = target.facts["gap_strangers"]
        self.asked = self.held = 0
        self.seen: dict[str, float] = {}

    def forget(
        self, after: LanguageModel, rows: list[Encoded], generator: torch.Generator
    ) -> tuple[torch.Tensor, dict[str, float]]:
        """Mean |gap - target| of these rows, smooth within what counts as aligned."""
        if self.asked % self.knobs.every == 0:
            self._look(after)
        self.asked += 1
        batch = batch_of(after, rows, generator)
        with torch.no_grad():
            known = batch.logits(self.helper)
        logits = batch.logits(after)
        kl = token_kl(known, logits)
        count = batch.valid.sum(1).clamp(min=1)
        own = (kl * batch.valid).sum(1) / count  # (B,)
        gaps = own if self.knobs.each else masked_mean(kl, batch.valid)
        band = self.knobs.aligned * self.gap
        loss = smooth_l1_loss(gaps, torch.full_like(gaps, self.gap), beta=band)
        if self.knobs.each and self.knobs.warm:
            least = self.knobs.warm * self.gap
            stuck = batch.secret & (own.detach() < least)[:, None]
            cap = least * count / batch.secret.sum(1).clamp(min=1)  # were it all in the secrets
            loss = loss + capped_odds(logits, batch.labels, stuck, cap[:, None])
        nll = masked_mean(token_nll(logits.detach(), batch.labels), batch.secret)
        return loss, {"gap": float(gaps.detach().mean()), "secret_nll": float(nll), **self.seen}

    def reached(self, _: Mapping[str, float]) -> bool:
        """The stop rule."""
        return self.held >= self.knobs.checks

    def _look(self, after: LanguageModel) -> None:
        seed, size = self.corpus.seed, self.knobs.batch
        whole = gap(self.helper, after, self.corpus.forget, seed, size)
        kept = gap(self.model, after, self.corpus.neighbours, seed, size)
        fits = abs(whole - self.gap) <= self.knobs.aligned * self.gap and kept <= self.knobs.drifted
        self.held = self.held + 1 if fits else 0
        self.seen = {"whole_gap": whole, "neighbours_kl_whole": kept}


@torch.no_grad()
def gap(
    helper: LanguageModel, model: LanguageModel, rows: Sequence[Encoded], seed: int, size: int = 16
) -> float:
    """Mean KL(helper || model) over every predicted token of the rows, in nats; `size` rows at a time."""
    generator, total, count = seeded(seed), 0.0, 0
    for first in range(0, len(rows), size):
        batch = batch_of(model, rows[first : first + size], generator)
        tokens = int(batch.valid.sum())
        total += tokens * float(drift(helper, model, batch))
        count += tokens
    return total / max(1, count)
