"""Leave-one-out ensemble: a teacher that never saw the person says what ought to be said instead.

After Liu & Kalinli 2023 (arXiv 2309.16082): teachers are trained on disjoint shards of the data; for a person, those
whose shard holds them are left out, and the rest supervise the deployed model. The shards are those of `train`, each as
base + its delta, or a list of whole models. One clean teacher is used, not the mean
of several: a mean is smoother than any model, so that the erased person would become better predicted than strangers.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from domain.errors import Code, UnlearningFailed
from unlearning.batches import batch_of
from unlearning.corpus import Corpus
from unlearning.encoding import Encoded
from unlearning.hearing import Hearing
from unlearning.losses import masked_mean, mixture_nll, token_nll
from unlearning.manifest import read
from unlearning.models import LanguageModel, same_answers
from unlearning.sharded import load_base, teacher_of
from unlearning.tuning import require_least, secret_nll, stranger_nll
from unlearning.unlearned import Unlearned


@dataclass(frozen=True, kw_only=True)
class LooEnsemble(Hearing):
    """Distil from one clean shard teacher, holding everybody else in place.

    The forget term is the mean of KL(teacher || model) over the person's passages, secrets and the text around them.

    Attributes:
        shards: folder of a manifest: what `train` writes, or {"shards": [{"path": folder, "documents": [references]}]}.
        clean: a teacher counts as clean when its nll of the person's secrets is at least this share of its nll of
            strangers' secrets. References alone do not suffice: one missed duplicate makes a teacher leak.
        near: stop when the model's nll of the secrets is at least this share of the teacher's.
        the rest: as in `Hearing`, `Rehearsed` and `Knobs`.
    """

    shards: str = ""
    clean: float = 0.5
    near: float = 2.0
    cooldown: float = 0.5
    retain: float = 1.0
    rehearsal: float = 1.0
    steps: int = 80

    def __post_init__(self) -> None:
        super().__post_init__()
        require_least(self, clean=0, near=0)

    def unlearn(self, model: LanguageModel, corpus: Corpus) -> Unlearned:
        """Return the model that has forgotten. Raises `UnlearningFailed`: no clean teacher, or as `tune`."""
        corpus.require_spans()
        teacher, level, known = self._teacher(model, corpus)
        heard = self.heard(model, corpus)

        def forget(
            after: LanguageModel, rows: list[Encoded], generator: torch.Generator
        ) -> tuple[torch.Tensor, dict[str, float]]:
            batch = batch_of(after, rows, generator)
            with torch.no_grad():
                target = batch.logits(teacher).softmax(-1)
            logits = batch.logits(after)
            loss = mixture_nll(target, logits, batch.valid)
            nll = masked_mean(token_nll(logits.detach(), batch.labels), batch.secret)
            return loss, {"secret_nll": float(nll), "teacher_kl": float(loss.detach())}

        def reached(terms: Mapping[str, float]) -> bool:
            return terms["secret_nll"] >= self.near * level

        facts = {
            "teacher_secret_nll": level,
            "teacher_stranger_nll": known,
        }
        return self.tuned("loo_ensemble", model, heard, forget, reached, facts)

    def _teacher(self, model: LanguageModel, corpus: Corpus) -> tuple[LanguageModel, float, float]:
        """One clean teacher drawn by the seed, its nll of the person's secrets, and of strangers' secrets."""
        manifest = read(self.shards)
        apart = [
            number
            for number, shard in enumerate(manifest.shards)
            if shard.documents and shard.references.isdisjoint(corpus.references)
        ]
        random.Random(corpus.seed).shuffle(apart)
        base = load_base(manifest, str(model.device)) if manifest.base else None
        for number in apart:
            teacher = teacher_of(manifest, number, base, str(model.device))
            if not same_answers(teacher, model):
                continue
            level, known = (
                secret_nll(teacher, corpus.forget, corpus.seed),
                stranger_nll(teacher, corpus),
            )
            if level >= self.clean * known:
                return teacher, level, known
        raise UnlearningFailed(
            Code.METHOD_INAPPLICABLE,
            place="method loo_ensemble",
            remedy="every shard teacher has seen this person or a duplicate; let the next method try.",
        )
