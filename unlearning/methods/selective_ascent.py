"""Selective gradient ascent: make the person's secrets as unlikely as a stranger's, and nothing else.

After SeUL (Wang et al. 2024, arXiv 2402.05813): gradient ascent on the span tokens only, the rest of the text stays
context. Plain ascent overshoots and takes other people's records of the same form with it, so three things are added:
each token's ascent ends at a cap, other people's passages are held in place by KL to the original model in the same
step, and so is what the original model itself says when it is let talk, which protects people who are in no list. With
`look` each secret ends in the middle of strangers' values instead (`unlearning.goals`). That is off: ascent alone does
not carry over from one form of sentence to the others as labels do, and what hides more than it must hides more there.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from unlearning.batches import batch_of
from unlearning.corpus import Corpus
from unlearning.encoding import Encoded
from unlearning.goals import Goals
from unlearning.hearing import Hearing
from unlearning.levels import Levels
from unlearning.losses import masked_mean, token_nll
from unlearning.models import LanguageModel
from unlearning.tuning import require_knob, require_least
from unlearning.unlearned import Unlearned


@dataclass(frozen=True, kw_only=True)
class SelectiveAscent(Hearing):
    """Bounded, span-only ascent with neighbours and rehearsal.

    Attributes:
        look: steps from one look at where a secret ranks among strangers' values to the next, and its goal from there;
            0: nobody looks, and the forget term is the mean over secret tokens of max(0, cap - nll).
        cap_share: the cap of each token of a name, and of a secret that has no such goal, as a share of the mean nll of
            strangers' tokens in the same place, on the original model. Below one, because tokens go on falling together
            after each has reached its cap.
        spans: which tokens count as secret: `offline`, what the search found; or `online`, what a model that never saw
            the passages finds unlikely in them (`Corpus.selected`). Both are SeUL's; attacks always ask for the former.
        settled: stop when the secrets of a step are no more than this short of their goals, nats per token; negative
            runs all steps.
        the rest: as in `Hearing`, `Rehearsed` and `Knobs`.
    """

    cap_share: float = 0.6
    look: int = 0
    steps: int = 50
    settled: float = -1.0
    spans: str = "offline"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_least(self, cap_share=0, look=0)
        known = self.spans in {"offline", "online"}
        require_knob(fits=known, name="spans", remedy="it must be offline or online.")
        for name in ("forms", "excerpts"):
            alone = self.spans == "offline" or not getattr(self, name)
            require_knob(fits=alone, name=name, remedy="it must be 0 where spans is online.")

    def unlearn(self, model: LanguageModel, corpus: Corpus) -> Unlearned:
        """Return the model that has forgotten. Raises `UnlearningFailed` as `Corpus.online` and `tune` do."""
        corpus = corpus.online() if self.spans == "online" else corpus
        corpus.require_spans()
        heard = self.heard(model, corpus)
        levels = Levels(model, heard.everything)
        goals = Goals(heard.corpus, levels, self.cap_share, self.look, heard.excerpts)

        def forget(
            after: LanguageModel, rows: list[Encoded], generator: torch.Generator
        ) -> tuple[torch.Tensor, dict[str, float]]:
            goals.turn(after)
            batch = batch_of(after, rows, generator)
            nll = token_nll(batch.logits(after), batch.labels)
            loss, terms = goals.loss(rows, batch, nll)
            return loss, {"secret_nll": float(masked_mean(nll.detach(), batch.secret)), **terms}

        def reached(terms: Mapping[str, float]) -> bool:
            return terms["short_of_goal"] <= self.settled

        facts = {
            "level": levels.mean,
            "online": float(self.spans == "online"),
        }
        return self.tuned("selective_ascent", model, heard, forget, reached, facts)
