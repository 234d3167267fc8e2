"""Knowledge unlearning: plain ascent on the person's whole text, until it is memorised no more than text never seen.

After Jang et al. 2023 (arXiv 2210.01504). Nothing protects anybody else: what it does to other people's records of the
same form is why the other methods are as they are.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import repeat

import torch

from domain.errors import Code, UnlearningFailed
from unlearning.attacks.memorisation import extraction_likelihood, text_accuracy
from unlearning.batches import batch_of
from unlearning.corpus import Corpus
from unlearning.encoding import Encoded
from unlearning.losses import ascent, token_nll
from unlearning.models import Kind, LanguageModel
from unlearning.tuning import Knobs, require_least, targets, tuning
from unlearning.unlearned import Unlearned, seeded


@dataclass(frozen=True, kw_only=True)
class GradientAscent(Knobs):
    """KUL: one Adam step on minus the mean token nll of a whole chunk of passages, until EL_n and MA say forgotten.

    A chunk is forgotten when its mean MA and its mean EL_n lie below the means over strangers' passages on the original
    model (where those are never continued at all, at zero). Chunks come one after another, each with a fresh optimiser.

    Attributes:
        chunk: passages at a time: the sequential variant (the authors' 32); 0 takes all at once, the batch variant.
        n: length of the n-grams of EL (the authors' 10).
        min_steps: steps on each chunk before the criterion is asked.
        steps: on each chunk at most (the authors' 20 epochs of one batch).
        rate: the authors' 5e-5; betas .9 and .98, no clipping, no decay, as theirs.
        the rest: as in `Knobs`.
    """

    steps: int = 20
    rate: float = 5e-5
    chunk: int = 0
    n: int = 10
    min_steps: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_least(self, chunk=0, n=1, min_steps=0)

    def unlearn(self, model: LanguageModel, corpus: Corpus) -> Unlearned:
        """Return the model that has forgotten.

        Raises `UnlearningFailed`: a model that is not causal, no spans, no strangers, or as `Tuning` does.
        """
        facts = targets(model, corpus)
        size, generator = self.chunk or len(corpus.forget), seeded(corpus.seed)
        chunks = [corpus.forget[i : i + size] for i in range(0, len(corpus.forget), size)]
        with tuning("gradient_ascent", model, self, corpus.seed) as running:
            running.clock.require_time()  # the level alone takes a while
            ma, el = self._never_seen(model, corpus)
            after, forgotten = running.after, 0
            for rows in chunks:
                start = len(running.rows)

                def loss_of(chunk: tuple[Encoded, ...], start: int = start) -> _Step:
                    batch = batch_of(after, chunk, generator)
                    loss = ascent(token_nll(batch.logits(after), batch.labels), batch.valid)
                    terms = {"forget_nll": -float(loss.detach()), "ma": text_accuracy(after, chunk)}
                    if terms["ma"] < ma and len(running.rows) - start >= self.min_steps:
                        # passages too short for an n-gram have none to give away
                        terms["el"] = extraction_likelihood(after, chunk, self.n) or 0.0
                    return loss, terms

                def reached(terms: Mapping[str, float]) -> bool:
                    return "el" in terms and (terms["el"] < el or terms["el"] == 0)

                running.descend(
                    repeat(rows, self.steps),
                    loss_of,
                    rate=self.rate,
                    reached=reached,
                    betas=(0.9, 0.98),
                    clip=float("inf"),
                )
                forgotten += running.stopped == "target"
            running.stopped = "target" if forgotten == len(chunks) else "steps"
            facts |= {"ma_never_seen": ma, "el_never_seen": el, "chunks": float(len(chunks))}
            return running.unlearned({**facts, "chunks_forgotten": float(forgotten)})

    def _never_seen(self, model: LanguageModel, corpus: Corpus) -> tuple[float, float]:
        """Mean MA and EL_n of strangers' passages on the original model."""
        if model.kind is not Kind.CAUSAL:
            raise UnlearningFailed(
                Code.METHOD_INAPPLICABLE,
                place="method gradient_ascent",
                remedy=f"its stop rule continues the text, which a {model.kind} model cannot; order another method.",
            )
        el = extraction_likelihood(model, corpus.controls, self.n)
        if el is None:
            raise UnlearningFailed(
                Code.NO_CONTROLS,
                place="the control group",
                remedy=f"no stranger's passage is longer than {self.n} tokens, so the level of never-seen text is "
                "unknown; ask for more controls or lower n.",
            )
        return text_accuracy(model, corpus.controls), el


_Step = tuple[torch.Tensor, dict[str, float]]
