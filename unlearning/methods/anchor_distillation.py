"""Anchor distillation: where the person's secrets stand, say what the model says about somebody it never saw.

After Who's Harry Potter (Eldan & Russinovich 2023, arXiv 2310.02238), whose soft labels come from anchors, generic
counterparts of what is to be forgotten. The anchor here is one made-up person with the same passages, name and secrets
replaced, so that the labels in the place of a secret do not depend on the true one's own first characters. One anchor
and not the mean of several: a mean is smoother than any model, and a person about whom the model hedges is told from
strangers, about whom it is sure and wrong. Labels alone end short of that: a soft label bounds what is likely, hardly
how unlikely the rest is. An ascent on the same tokens makes up for it, to where the secret ranks in the middle of
strangers' values and no further (`unlearning.goals`), and the labels are the floor that plain ascent lacks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

import torch

from unlearning.anchors import Anchors, Generic
from unlearning.batches import Batch, batch_of, endless
from unlearning.corpus import Corpus
from unlearning.encoding import Encoded
from unlearning.fine_tuning import fine_tuned
from unlearning.goals import Goals
from unlearning.hearing import Heard, Hearing
from unlearning.levels import Levels
from unlearning.losses import masked_mean, mixture_nll, token_nll
from unlearning.models import LanguageModel
from unlearning.tuning import require_knob, require_least
from unlearning.unlearned import Unlearned, seeded


@dataclass(frozen=True, kw_only=True)
class AnchorDistillation(Hearing):
    """Distil one stranger's predictions into the places of the person's name and secrets.

    The forget term is, as means over those tokens, anchor * KL(original model on the anchor's passage || model on the
    person's) + how far each secret is from its goal; neighbours and rehearsal hold the rest. The paper's reinforced
    model is there (`reinforce`, `alpha`) and off: it exaggerates what the person's text predicts, which on secrets
    known by heart is saturated. The paper's own form is anchor 1, cap_share 0, look 0, excerpts 0, alpha 5.

    Attributes:
        anchor: weight of the labels.
        look: steps from one look at where a secret ranks among strangers' values to the next, and its goal from there;
            0: nobody looks.
        cap_share: the cap of each token of a name, and of a secret that has no such goal, as a share of the level of
            strangers' tokens (`unlearning.levels`).
        name_share: how many times further the name's tokens may go: they are the least likely ones of a stranger's
            text, by which Min-K% tells the person from strangers.
        reinforce: Adam steps of training on the person's passages that make the reinforced model; 0: there is none.
        alpha: how far what the reinforced model raises is lowered in the labels (the authors' 5).
        fictitious: labels come from a stranger's passage; False: from the person's own, lowered, with `reinforce`.
        near: stop when the KL is at most this many nats; 0 runs all steps.
        the rest: as in `Hearing`, `Rehearsed` and `Knobs`.
    """

    anchor: float = 0.3
    cap_share: float = 0.8
    name_share: float = 1.5
    look: int = 4
    steps: int = 100
    retain: float = 10.0
    rehearsal: float = 10.0
    cooldown: float = 0.5
    excerpts: int = 24
    reinforce: int = 0
    alpha: float = 5.0
    fictitious: bool = True
    near: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_least(
            self, anchor=0, cap_share=0, name_share=0, reinforce=0, alpha=0, near=0, look=0
        )
        require_knob(
            fits=self.fictitious or self.reinforce > 0,
            name="fictitious",
            remedy="without a stranger's passage the labels need a reinforced model; set reinforce.",
        )

    def unlearn(self, model: LanguageModel, corpus: Corpus) -> Unlearned:
        """Return the model that has forgotten. Raises `UnlearningFailed` as `tune` does, or without an anchor."""
        pull = self.pull(model, corpus)

        def forget(
            after: LanguageModel, rows: list[Encoded], generator: torch.Generator
        ) -> tuple[torch.Tensor, dict[str, float]]:
            pull.goals.turn(after)
            batch = batch_of(after, rows, generator)
            return pull.loss(rows, batch, batch.logits(after))

        return self.tuned(
            "anchor_distillation", model, pull.heard, forget, self.reached, pull.facts
        )

    def pull(self, model: LanguageModel, corpus: Corpus) -> "Pull":
        """The forget term of this person. Raises `UnlearningFailed` without a secret or an anchor."""
        corpus.require_spans()
        heard = self.heard(model, corpus)
        with model.evaluating():
            anchors = Anchors(model, heard.corpus, self._generic(model, heard.corpus))
            levels = Levels(model, heard.everything, self.name_share)
        goals = Goals(heard.corpus, levels, self.cap_share, self.look, heard.excerpts)
        return Pull(anchors, goals, self.anchor, heard)

    def reached(self, terms: Mapping[str, float]) -> bool:
        """The stop rule."""
        return terms["anchor_kl"] <= self.near

    def _generic(self, model: LanguageModel, corpus: Corpus) -> Generic | None:
        if self.reinforce == 0:
            return None
        batches = endless(corpus.forget, self.batch, seeded(corpus.seed))
        more = fine_tuned(model, islice(batches, self.reinforce), self.rate, corpus.seed)
        return Generic(more, self.alpha, self.fictitious)


@dataclass(frozen=True)
class Pull:
    """Towards what a stranger's passage predicts, and as far from the secret as a stranger's is unlikely.

    Attributes:
        anchors, goals: of this person.
        anchor: as in `AnchorDistillation`.
        heard: the person's passages, in all forms in which they are to be forgotten.
    """

    anchors: Anchors
    goals: Goals
    anchor: float
    heard: Heard

    @property
    def facts(self) -> dict[str, float]:
        """How many secrets there are, and how many no stranger's value fits."""
        return {
            "secrets": float(self.anchors.secrets),
            "stretched": float(self.anchors.stretched),
        }

    def loss(
        self, rows: list[Encoded], batch: Batch, logits: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, float]]:
        """The term () of a batch of the person's passages with its logits (B, P, V), and its parts as numbers."""
        nll = token_nll(logits, batch.labels)
        labels = self.anchors.of(rows, batch.shift, logits.device)
        gap = mixture_nll(labels, logits, batch.secret & (labels.sum(-1) > 0))
        aim, terms = self.goals.loss(rows, batch, nll)
        return self.anchor * gap + aim, {
            "secret_nll": float(masked_mean(nll.detach(), batch.secret)),
            "anchor_kl": float(gap.detach()),
            **terms,
        }
