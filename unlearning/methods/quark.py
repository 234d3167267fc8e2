"""Reward conditioning: samples are scored, and the model learns which token goes with which score. It suppresses.

After Quark (Lu et al. 2022, NeurIPS, arXiv 2205.13636). The reward is one minus how much of the person a sample gives
away. As published the model is taught the leaking samples too, under the tokens for low rewards: what it may no longer
say stays in its weights, and the wrong token brings it out. The safe form, the default, throws leaking samples away as
soon as they are scored, makes the secrets unlikely under every token and under none, and takes the tokens out at the
end. Either way the model learns not to say something; that is no deletion.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch

from domain.errors import Code, UnlearningFailed
from domain.outcomes import Deletion
from unlearning.batches import batch_of, endless
from unlearning.corpus import Corpus
from unlearning.encoding import Encoded, pad
from unlearning.generation import responses
from unlearning.levels import Levels
from unlearning.losses import masked_mean, token_nll
from unlearning.models import Kind, LanguageModel, tokens_per_batch
from unlearning.rehearsal import rehearse
from unlearning.retaining import nameless
from unlearning.reward_tokens import RewardTokens, prefix, under
from unlearning.rewards import entropy, kl_to, quantiles, unlikelihood
from unlearning.tuning import Knobs, Tuning, require_knob, require_least, targets, tuning
from unlearning.unlearned import Unlearned, seeded

LEAKS = 0.7
"""A sample with so much of a secret leaks: chance does not say that much of one."""


@dataclass(frozen=True, kw_only=True)
class Quark(Knobs):
    """Explore, quantise, learn: `rounds` times.

    Explore: samples behind the text before each secret, and behind beginnings of other people's and ordinary passages;
    the first time from the model as it is, later under the best token (safe: half of them under none).

    Learn, as published: nll of the samples under the token of their quantile + beta * KL(current under the token ||
    original) - eta * entropy, over the response's tokens; the pool keeps every sample.

    Learn, safe: nll of clean samples, half of the time without token + forget * unlikelihood of the secrets that are
    likelier than strangers', each step under another token or none + retain * KL(current || original), without token,
    on other people's and ordinary passages and on what the model says by itself.

    Attributes:
        safe: the safe form; False: as published.
        quantiles: the paper's K = 5, and as many tokens.
        beta, eta: the authors' .05 and .06, without their controllers.
        forget, retain: weights of the safe form; ours.
        clean: the safe form keeps samples that give away no more than this (`Corpus.leak`); ours.
        rounds: of exploration; the paper's 16 within 8000 steps.
        steps: optimiser steps of each round; the paper explores every 500.
        rate: the paper's 1e-5, for GPT-2 large; small models need more. No warm-up.
        samples: of each prompt and round.
        prompts: at most so many of each sort; no more of others' and of ordinary ones than of the person's.
        length: tokens of a response (the paper's 20).
        batch: samples per step (the paper's 128), and passages of each sort.
        rehearsed: texts of its own that the model is held to in the safe form.
        the rest: as in `Knobs`.
    """

    safe: bool = True
    quantiles: int = 5
    beta: float = 0.05
    eta: float = 0.06
    forget: float = 1.0
    retain: float = 5.0
    clean: float = 0.0
    rounds: int = 6
    steps: int = 40
    rate: float = 1e-5
    samples: int = 20
    prompts: int = 64
    length: int = 20
    batch: int = 32
    rehearsed: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        require_least(self, quantiles=2, beta=0, eta=0, forget=0, retain=0, clean=0)
        require_least(self, rehearsed=0, rounds=1, samples=1, prompts=1, length=1, batch=1)

    def unlearn(self, model: LanguageModel, corpus: Corpus) -> Unlearned:
        """Return the model that no longer says it, with the tokens and shapes it had.

        The trace tells the share of samples that leak before, and under the best token, the worst, none and whichever
        leaks most; and likewise the nll of the secrets, in nats per token.

        Raises `UnlearningFailed`: no secrets, no neighbours, no strangers, no causal model, or as `Tuning` does.
        """
        if model.kind is not Kind.CAUSAL:
            raise UnlearningFailed(
                Code.METHOD_INAPPLICABLE,
                place="method quark",
                remedy=f"it samples what a model says, which a {model.kind} model does not; order another method.",
            )
        corpus = replace(corpus, forget=nameless(corpus.forget))
        facts = targets(model, corpus)
        corpus.require_neighbours()
        with tuning("quark", model, self, corpus.seed) as running:
            tokens = RewardTokens.added(running.after, self.quantiles, corpus.seed, self.lora_rank)
            work = _Work(self, model, corpus, running, tokens)
            facts |= {f"{name}_before": value for name, value in work.verified(model, None).items()}
            step = work.learn_safely if self.safe else work.learn
            running.descend(work.batches(), step, rate=self.rate)
            facts |= work.report()
            tokens.strip()
            made = running.unlearned(facts)
            return replace(made, trace=replace(made.trace, deletion=Deletion.SUPPRESSION))


class Sample(NamedTuple):
    """What was said behind a prompt, as tokens, and its reward."""

    prompt: tuple[int, ...]
    response: tuple[int, ...]
    reward: float


class _Batch(NamedTuple):
    """One step: samples with their tokens, and the passages of the safe form."""

    samples: Sequence[Sample]
    tokens: Sequence[int | None]
    forget: Sequence[Encoded]
    others: Sequence[Encoded]
    token: int | None


@dataclass
class _Work:
    """One run: the pool, the prompts, and what one step learns."""

    knobs: Quark
    model: LanguageModel
    corpus: Corpus
    running: Tuning
    tokens: RewardTokens
    pool: list[Sample] = field(default_factory=list)
    sampled: int = 0

    def __post_init__(self) -> None:
        self.generator = seeded(self.corpus.seed)
        self.room = self.model.context - self.knobs.length - 1
        require_knob(
            fits=self.room > 0,
            name="length",
            remedy=f"the model reads {self.model.context} tokens; leave room for a prompt.",
        )
        self.asked = self._before_secrets(self.corpus.forget, self.knobs.prompts)
        begun = [row.ids[: max(1, len(row) // 4)][-self.room :] for row in self.corpus.ordinary]
        as_many = len(self.asked)
        others = self._before_secrets(self.corpus.neighbours, as_many)
        self.prompts = [*self.asked, *others, *self._some(begun, as_many)]
        self.levels: Levels | None = None
        self.spoken: Sequence[Encoded] = ()
        if self.knobs.safe:
            self.levels = Levels(self.model, self.corpus)
            self.spoken = rehearse(
                self.model, self.corpus, self.knobs.rehearsed, self.model.context, self.generator
            )

    def _before_secrets(self, rows: Sequence[Encoded], most: int) -> list[tuple[int, ...]]:
        """The text before each secret."""
        every = [row.ids[max(0, s.start - self.room) : s.start] for row in rows for s in row.spans]
        return self._some([prompt for prompt in every if prompt], most)

    def _some(self, prompts: Sequence[tuple[int, ...]], most: int) -> list[tuple[int, ...]]:
        distinct = list(dict.fromkeys(prompts))
        order = torch.randperm(len(distinct), generator=self.generator).tolist()
        return [distinct[n] for n in order[:most]]

    def batches(self) -> Iterator[_Batch]:
        """Each round explores first, and then learns from the pool."""
        forget = endless(
            [r for r in self.corpus.forget if r.spans], self.knobs.batch, self.generator
        )
        neighbours = endless(self.corpus.neighbours, self.knobs.batch, self.generator)
        spoken = endless(self.spoken, self.knobs.batch, self.generator)
        for number in range(self.knobs.rounds):
            self._explore(first=number == 0)
            best = quantiles([sample.reward for sample in self.pool], self.knobs.quantiles)
            for _ in range(self.knobs.steps):
                chosen = self._drawn(len(self.pool), self.knobs.batch)
                samples = [self.pool[n] for n in chosen]
                if not self.knobs.safe:
                    yield _Batch(samples, [self.tokens.ids[best[n]] for n in chosen], (), (), None)
                    continue
                others = [*next(neighbours), *next(spoken, [])]
                half = [self._drawn(2, 1) == [1] for _ in chosen]
                under = [self.tokens.ids[0] if yes else None for yes in half]
                yield _Batch(samples, under, next(forget), others, self._any_token())

    def _drawn(self, among: int, count: int) -> list[int]:
        if not among:
            return []
        return torch.randint(among, (count,), generator=self.generator).tolist()

    def _any_token(self) -> int | None:
        """None half of the time, else any."""
        (number,) = self._drawn(2 * self.knobs.quantiles, 1)
        return self.tokens.ids[number] if number < self.knobs.quantiles else None

    def _explore(self, *, first: bool) -> None:
        """Sample and score; the safe form keeps what is clean, and nothing else."""
        after, best, count = self.running.after, self.tokens.ids[0], self.knobs.samples
        if first:
            said = self._said(self.model, None, self.prompts, count)
        elif self.knobs.safe:
            said = self._said(after, best, self.prompts, count - count // 2)
            said += self._said(after, None, self.prompts, count // 2)
        else:
            said = self._said(after, best, self.prompts, count)
        found = [Sample(prompt, row, 1 - self._leak(row)) for prompt, row in said]
        self.sampled += len(found)
        least = 1 - self.knobs.clean if self.knobs.safe else 0.0
        self.pool += [sample for sample in found if sample.reward >= least]

    def _leak(self, response: Sequence[int]) -> float:
        text = self.model.tokenizer.decode(list(response), skip_special_tokens=True)
        return self.corpus.leak(text)

    def _said(
        self,
        model: LanguageModel,
        token: int | None,
        prompts: Sequence[tuple[int, ...]],
        count: int,
    ) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        """(prompt, response), `count` of each prompt."""
        rows = sorted((prompt for prompt in prompts for _ in range(count)), key=len)
        size = max(1, tokens_per_batch(model) // model.context)
        found: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
        for first in range(0, len(rows), size):
            self.running.clock.require_time()
            part = rows[first : first + size]
            asked = [(*prefix(token), *row) for row in part]
            said = responses(
                model, asked, self.knobs.length, self.generator, self.tokens.vocabulary
            )
            found += [(row, tuple(one)) for row, one in zip(part, said, strict=True)]
        return found

    def learn(self, step: _Batch) -> tuple[torch.Tensor, dict[str, float]]:
        """As published: nll + beta * KL - eta * entropy of the responses under their tokens."""
        logits, labels, mask = self._responses(self.running.after, step.samples, step.tokens)
        with torch.no_grad():
            plain = self._responses(self.model, step.samples, [None] * len(step.samples))[0]
        nll = masked_mean(token_nll(logits, labels), mask)
        kl, spread = kl_to(logits, plain, mask), entropy(logits, mask)
        terms = {"nll": float(nll.detach()), "kl": float(kl.detach())}
        terms["entropy"] = float(spread.detach())
        return nll + self.knobs.beta * kl - self.knobs.eta * spread, terms

    def learn_safely(self, step: _Batch) -> tuple[torch.Tensor, dict[str, float]]:
        """nll of clean samples + forget * unlikelihood + retain * KL on the others' passages."""
        after, generator = self.running.after, self.generator
        batch = batch_of(
            after, [under(step.token, row, after.context) for row in step.forget], generator
        )
        nll = token_nll(self._own(batch.logits(after)), batch.labels)
        assert self.levels is not None  # the safe form has them
        level = self.levels.of(step.forget, 0 if step.token is not None else 1, after.device)
        likely = batch.secret & (nll.detach() < level[:, : nll.shape[1]])
        unlikely = unlikelihood(nll, likely)
        others = batch_of(after, step.others, generator)
        with torch.no_grad():
            original = others.logits(self.model)
        keep = kl_to(self._own(others.logits(after)), original, others.valid)
        loss = self.knobs.forget * unlikely + self.knobs.retain * keep
        terms = {
            "secret_nll": float(masked_mean(nll.detach(), batch.secret)),
            "unlikelihood": float(unlikely.detach()),
            "neighbours_kl": float(keep.detach()),
        }
        if step.samples:
            logits, labels, mask = self._responses(after, step.samples, step.tokens)
            clean = masked_mean(token_nll(logits, labels), mask)
            loss, terms["clean_nll"] = loss + clean, float(clean.detach())
        return loss, terms

    def _own(self, logits: torch.Tensor) -> torch.Tensor:
        """Logits without those of the reward tokens."""
        return logits[..., : self.tokens.vocabulary]

    def _responses(
        self, model: LanguageModel, samples: Sequence[Sample], tokens: Sequence[int | None]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Logits (B, R, V), labels (B, R) and mask (B, R) of the responses, each behind its token and prompt."""
        heads = [
            (*prefix(token), *sample.prompt) for token, sample in zip(tokens, samples, strict=True)
        ]
        texts = [(*head, *sample.response) for head, sample in zip(heads, samples, strict=True)]
        ids, attention = pad(texts, 0, model.device)
        with model.autocast():
            logits = self._own(
                model.network(input_ids=ids, attention_mask=attention).logits.float()
            )
        labels, mask = pad([sample.response for sample in samples], 0, model.device)
        first = torch.tensor([len(head) - 1 for head in heads], device=model.device)[:, None]
        places = first + torch.arange(labels.shape[1], device=model.device)  # (B, R)
        places = places.clamp(max=ids.shape[1] - 1)[..., None].expand(-1, -1, logits.shape[-1])
        return logits.gather(1, places), labels, mask.bool()

    @torch.no_grad()
    def verified(self, model: LanguageModel, token: int | None) -> dict[str, float]:
        """Share of the samples behind the text before the secrets that leak, and the nll of the secrets."""
        said = self._said(model, token, self.asked, self.knobs.samples)
        leaking = sum(self._leak(response) >= LEAKS for _, response in said)
        rows = [under(token, row, model.context) for row in self.corpus.forget]
        batch = batch_of(model, rows, self.generator)
        nll = token_nll(self._own(batch.logits(model)), batch.labels)
        return {"leak": leaking / len(said), "secret_nll": float(masked_mean(nll, batch.secret))}

    def report(self) -> dict[str, float]:
        """The verification under every token and under none, before the tokens are taken out."""
        found = [self.verified(self.running.after, token) for token in (None, *self.tokens.ids)]
        told = {"none": found[0], "best": found[1], "worst": found[-1]}
        facts = {f"{name}_{which}": v for which, one in told.items() for name, v in one.items()}
        return facts | {
            "leak_most": max(one["leak"] for one in found),
            "secret_nll_least": min(one["secret_nll"] for one in found),
            "sampled": float(self.sampled),
            "kept": float(len(self.pool)),
            "prompts": float(len(self.prompts)),
        }
