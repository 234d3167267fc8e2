"""What a model says about a person it never saw, in the places where the person's secrets stand."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from domain.errors import Code, UnlearningFailed
from unlearning.batches import batch_of
from unlearning.corpus import Corpus
from unlearning.encoding import Encoded, TokenSpan
from unlearning.models import LanguageModel


@dataclass(frozen=True)
class Generic:
    """Generic predictions by a reinforced model (Eldan & Russinovich 2023): v - alpha * ReLU(v_reinforced - v_base).

    What training on the person's text still raises is what is particular about it. On a secret that is known by heart
    nothing is left to raise, and the labels stay the secret.

    Attributes:
        reinforced: the model after more training on the person's passages.
        alpha: how far what it raises is lowered (the authors' 5).
        fictitious: v is what the model says in a stranger's passage; False: in the person's own, as it is.
    """

    reinforced: LanguageModel
    alpha: float
    fictitious: bool = True

    def lowered(
        self, model: LanguageModel, row: Encoded, span: TokenSpan, anchor: torch.Tensor
    ) -> torch.Tensor:
        """Logits (L, V) of the labels of one secret; `anchor` (L, V) are the stranger's."""
        base = _predictions(model, row)[span.start : span.end]
        raised = _predictions(self.reinforced, row)[span.start : span.end] - base
        return (anchor if self.fictitious else base) - self.alpha * raised.clamp(min=0)


class Anchors:
    """For every token of the person's secrets, the prediction for one stranger's token in the same place.

    Strangers have the person's own passages in the same order, so that their n-th secret answers the person's n-th. One
    stranger serves all secrets; where that one's value has another number of tokens, the first stranger's whose value
    fits serves, and where nobody's fits, the first one's is stretched. The stranger's own earlier tokens stand before
    each prediction, never the person's. A masked model predicts with the whole secret hidden.

    Attributes:
        secrets: how many there are.
        stretched: how many of them no stranger's value fits.
    """

    def __init__(
        self, model: LanguageModel, corpus: Corpus, generic: Generic | None = None
    ) -> None:
        """Read the strangers' passages; with `generic`, and the person's too."""
        mine = [(row, span) for row in corpus.forget for span in row.spans]
        people: dict[str, list[tuple[Encoded, TokenSpan]]] = {}
        for row in corpus.controls:
            people.setdefault(row.person, []).extend((row, span) for span in row.spans)
        twins = [values for values in people.values() if len(values) == len(mine)]
        if not twins:
            raise UnlearningFailed(
                Code.NO_CONTROLS,
                place="the control group",
                remedy="no stranger has a counterpart for every secret; shorten the passages or ask for more controls.",
            )
        self.secrets, self.stretched = len(mine), 0
        self._width = model.choices
        self._labels: dict[object, torch.Tensor] = {}
        said: dict[object, torch.Tensor] = {}
        for number, (row, span) in enumerate(mine):
            length = span.end - span.start
            fitting = [t[number] for t in twins if t[number][1].end - t[number][1].start == length]
            self.stretched += not fitting
            twin, place = (fitting or [twins[0][number]])[0]
            if twin.key not in said:
                said[twin.key] = _predictions(model, twin)
            wide = place.end - place.start
            at = [place.start + position * wide // length for position in range(length)]
            labels = self._labels.setdefault(row.key, torch.zeros(len(row), self._width))
            logits = said[twin.key][at]  # (L, V)
            if generic is not None:
                logits = generic.lowered(model, row, span, logits)
            labels[span.start : span.end] = logits.softmax(-1)

    def of(self, rows: Sequence[Encoded], shift: int, device: torch.device) -> torch.Tensor:
        """(B, P, V) labels of a batch of the person's passages; 0 outside secrets. `shift` as in `Batch`."""
        padded = torch.nn.utils.rnn.pad_sequence(
            [self._labels.get(r.key, torch.zeros(len(r), self._width)) for r in rows],
            batch_first=True,
        )
        return padded[:, shift:].to(device)


@torch.no_grad()
def _predictions(model: LanguageModel, row: Encoded) -> torch.Tensor:
    """(T, V) on the CPU: the logits that predict each token of one passage; zero for a token that is not predicted."""
    batch = batch_of(model, [row], torch.Generator(), share=0.0)
    if model.masked:
        for span in row.spans:
            batch.inputs[0, span.start : span.end] = model.tokenizer.mask_token_id
    logits = batch.logits(model)[0].cpu()  # (P, V)
    return torch.cat([logits.new_zeros(batch.shift, logits.shape[1]), logits])
