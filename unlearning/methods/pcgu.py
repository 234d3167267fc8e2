"""PCGU: move only the weight vectors in which two things that the model says pull apart (Yu et al. 2023, ACL Findings).

The authors contrast two words in one place of a sentence. Of a person's data the two are a secret's token and what the
model holds likeliest for a stranger there; but these pull apart, it seems, where any "seven" is told from any "three",
whoever's it is. What has to be kept apart are people: so here the person's secrets are contrasted with other people's,
each in their own passage, and what moves is where raising the one would lower the other.
Raw logits and not probabilities: of a secret known by heart the probability no longer moves.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

import torch
from transformers.pytorch_utils import Conv1D

from domain.outcomes import Edit, Layer
from unlearning.anchors import Anchors
from unlearning.batches import Batch, batch_of
from unlearning.corpus import Corpus
from unlearning.hearing import heard
from unlearning.layers import blocks, every_block
from unlearning.levels import Levels, telling
from unlearning.losses import masked_mean, token_nll
from unlearning.models import LanguageModel
from unlearning.retaining import nameless
from unlearning.scoring import Target, said
from unlearning.tuning import Knobs, require_knob, require_least, targets, tuning
from unlearning.unlearned import Unlearned, digest_of, seeded

PARTITIONS = ("row", "column")
CONTRASTS = ("people", "words")
CHOICES = ("opposed", "fixed", "all")


@dataclass(frozen=True, kw_only=True)
class Pcgu(Knobs):
    """Partitioned contrastive gradient unlearning.

    Each step takes the gradients of the mean logit of the secrets' tokens, g_s, and of what they are contrasted with,
    g_n; of the weight vectors with a gradient it takes the `share` with the lowest cosine of the two, and moves those
    by -rate * (g_s - g_n). The choice is made anew at each step, so that in the end more vectors have changed: their
    number and a digest of which they are stand in the trace.

    Attributes:
        rate: of plain descent on a mean over tokens (the authors' 1e-5 is for a sum over a batch). Where words are
            contrasted, vectors with far larger gradients move: a tenth of it will do.
        share: of the vectors (10 %: reference measurement; the authors' 10,000 are 4 % of BERT's).
        partition: a matrix is cut into vectors "row" by row, one for each output feature, or "column" by column, one
            for each input; what is no matrix is one vector.
        contrast: with the secrets of other "people", or in the same place with neutral "words", as published.
        others: other people's passages in a step, drawn by the seed.
        choose: "opposed"; for comparison "fixed", as many drawn once by the seed, or "all".
        towards: move by g_n too, as the authors' dynamic selection does; False: by -rate * g_s, their default, which
            also lowers what all secrets have in common.
        embeddings: whether vectors outside of the blocks move too, as the authors' do; these are everybody's.
        level_share: stop when no secret is said any more and their mean nll is this share of strangers'; 0: when none
            is said.
        the rest: as in `Knobs`.
    """

    steps: int = 200
    rate: float = 1e-2
    share: float = 0.1
    partition: str = "row"
    contrast: str = "people"
    others: int = 32
    choose: str = "opposed"
    towards: bool = True
    embeddings: bool = False
    level_share: float = 0.0
    forms: int = 0
    samples: int = 256
    length: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        require_least(self, level_share=0, forms=0, others=1, samples=0, length=2)
        require_knob(
            fits=0 < self.share <= 1,
            name="share",
            remedy="it is a share; above 0 and at most 1.",
        )
        known_of = {"partition": PARTITIONS, "contrast": CONTRASTS, "choose": CHOICES}
        for name, known in known_of.items():
            require_knob(
                fits=getattr(self, name) in known,
                name=name,
                remedy=f"no such one; known are {', '.join(known)}.",
            )

    def unlearn(self, model: LanguageModel, corpus: Corpus) -> Unlearned:
        """Return the model that has forgotten.

        Raises `UnlearningFailed` as `Tuning` does, without a stranger, or without others to contrast the person with.
        """
        if self.contrast == "people":
            corpus.require_neighbours()
        facts = targets(model, corpus)
        asked = heard(model, corpus, self.forms, self.samples, self.length)
        corpus, rows = asked.corpus, telling(model, asked.corpus)
        generator = seeded(corpus.seed)
        with tuning("pcgu", model, self, corpus.seed) as running:
            after = running.after
            other_side = self._other_side(model, corpus, generator)
            enough = self.level_share * Levels(model, corpus).over(rows)
            pieces = _Pieces(after, self.partition, embeddings=self.embeddings)
            for step in range(self.steps + 1):
                batch = batch_of(after, rows, generator)
                logits = batch.logits(after)
                nll = float(masked_mean(token_nll(logits.detach(), batch.labels), batch.secret))
                row = {"secret_nll": nll, "secrets_said": float(said(Target(after), corpus.forget))}
                running.rows.append(row)
                running.require_sound(row)
                running.clock.require_time()
                if row["secrets_said"] == 0 and nll >= enough:
                    running.stopped = "target"
                if running.stopped == "target" or step == self.steps:
                    break
                away = pieces.gradient(_mean_logit(logits, batch.labels, batch.secret))
                beside = pieces.gradient(other_side(after, batch, logits))
                running.backward_passes += 2
                chosen = self._chosen(pieces, away, beside, corpus.seed)
                pieces.move(away, chosen, -self.rate)
                if self.towards:
                    pieces.move(beside, chosen, self.rate)
            facts |= {"vectors": float(len(pieces)), "changed": float(pieces.changed.sum())}
            facts |= {"transplants": float(asked.transplants)}
            return running.unlearned(
                facts, {"changed_vectors": pieces.digest()}, pieces.edit(after)
            )

    def _other_side(
        self, model: LanguageModel, corpus: Corpus, generator: torch.Generator
    ) -> Callable[[LanguageModel, Batch, torch.Tensor], torch.Tensor]:
        """Gives the mean logit, (), of the other side, by model, and the person's batch and its logits."""
        if self.contrast == "words":
            anchors = Anchors(model, corpus)

            def of_words(_: LanguageModel, batch: Batch, logits: torch.Tensor) -> torch.Tensor:
                likely = anchors.of(corpus.forget, batch.shift, logits.device)
                neutral = likely.scatter(-1, batch.labels[..., None], 0.0).argmax(-1)
                return _mean_logit(logits, neutral, batch.secret)

            return of_words
        order, everybody = random.Random(corpus.seed), nameless(corpus.neighbours)

        def of_people(after: LanguageModel, _: Batch, __: torch.Tensor) -> torch.Tensor:
            drawn = order.sample(everybody, min(self.others, len(everybody)))
            batch = batch_of(after, drawn, generator)
            return _mean_logit(batch.logits(after), batch.labels, batch.secret)

        return of_people

    def _chosen(
        self, pieces: "_Pieces", away: list[torch.Tensor], beside: list[torch.Tensor], seed: int
    ) -> torch.Tensor:
        """Which vectors move in this step (N,)."""
        if self.choose == "all":
            return torch.ones(len(pieces), dtype=torch.bool)
        if self.choose == "fixed":
            order = torch.rand(len(pieces), generator=seeded(seed))
        else:
            order = pieces.cosine(away, beside)
        live = order.isfinite()
        count = max(1, round(self.share * int(live.sum())))
        chosen = torch.zeros(len(pieces), dtype=torch.bool)
        chosen[order.argsort(stable=True)[:count]] = True
        return chosen & live


class _Pieces:
    """The weights that learn, cut into vectors, numbered in order of the parameters.

    A Conv1D holds its matrix the other way round than a Linear: its output features are columns.
    """

    def __init__(self, model: LanguageModel, partition: str, *, embeddings: bool) -> None:
        self.weights = [p for p in model.network.parameters() if p.requires_grad]
        if not embeddings:
            inside = {id(p) for block in every_block(model) for p in block.parameters()}
            self.weights = [p for p in self.weights if id(p) in inside]
        turned = {id(m.weight) for m in model.network.modules() if isinstance(m, Conv1D)}
        by_row = partition == "row"
        self.turned = [p.ndim > 1 and (id(p) in turned) == by_row for p in self.weights]
        self.sizes = [len(self._cut(n, p)) for n, p in enumerate(self.weights)]
        self.changed = torch.zeros(sum(self.sizes), dtype=torch.bool)

    def __len__(self) -> int:
        return len(self.changed)

    def _cut(self, number: int, values: torch.Tensor) -> torch.Tensor:
        """A parameter's values as its vectors (n, d), a view."""
        if values.ndim < 2:
            return values.reshape(1, -1)
        return values.flatten(1).T if self.turned[number] else values.flatten(1)

    def gradient(self, scalar: torch.Tensor) -> list[torch.Tensor]:
        """The gradient of () with respect to each vector, (n, d) for each parameter."""
        found = torch.autograd.grad(scalar, self.weights, retain_graph=True, materialize_grads=True)
        return [self._cut(n, g) for n, g in enumerate(found)]

    def cosine(self, one: list[torch.Tensor], other: list[torch.Tensor]) -> torch.Tensor:
        """(N,) cosine of the two gradients of each vector; infinite where one of them is zero."""
        found = []
        for a, b in zip(one, other, strict=True):
            cosine = torch.cosine_similarity(a, b, dim=-1)
            dead = (a.norm(dim=-1) == 0) | (b.norm(dim=-1) == 0)
            found.append(cosine.masked_fill(dead, torch.inf).cpu())
        return torch.cat(found)

    @torch.no_grad()
    def move(self, gradient: list[torch.Tensor], chosen: torch.Tensor, rate: float) -> None:
        """Move the chosen vectors (N,) by rate * gradient, and remember which they were."""
        for n, keep in enumerate(chosen.split(self.sizes)):
            step = gradient[n] * keep[:, None].to(gradient[n].device)
            self._cut(n, self.weights[n].data).add_(rate * step)
        self.changed |= chosen

    def edit(self, model: LanguageModel) -> Edit:
        """How many vectors of each block ever moved, and of what belongs to none."""
        try:
            inside = [{id(p) for p in block.parameters()} for block in blocks(model)]
        except ValueError:
            inside = []
        changed = [int(piece.sum()) for piece in self.changed.split(self.sizes)]

        def of(belongs: Callable[[int], bool]) -> Layer:
            own = [n for n, weight in enumerate(self.weights) if belongs(id(weight))]
            return Layer(None, sum(changed[n] for n in own), sum(self.sizes[n] for n in own))

        every = set().union(*inside)
        layers = tuple(of(block.__contains__) for block in inside)
        return Edit("vectors", layers, outside=of(lambda weight: weight not in every))

    def digest(self) -> str:
        """SHA-256 over the numbers of all vectors that ever moved."""
        return digest_of(map(str, self.changed.nonzero().flatten().tolist()))


def _mean_logit(logits: torch.Tensor, words: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean raw logit of the words (B, P) at the masked positions; logits (B, P, V) -> ()."""
    return masked_mean(logits.gather(-1, words[..., None])[..., 0], mask)
