"""How unlikely a stranger's secret is, token by token: the level that forgetting aims at and must not pass."""

from collections.abc import Sequence

import torch

from unlearning.corpus import Corpus
from unlearning.encoding import Encoded
from unlearning.models import LanguageModel
from unlearning.scoring import Target


class Levels:
    """For every token of the person's secrets, the mean nll of strangers' tokens in the same place.

    Strangers have the person's own passages in the same order, so that secret j of passage r answers secret j of
    passage r. Tokens are matched by their number within the secret where a stranger's value has as many tokens (digits,
    separators and fixed words then meet their like); otherwise the mean over the strangers' whole values stands in.

    Attributes:
        mean: mean nll of all strangers' secret tokens, nats.
    """

    def __init__(self, model: LanguageModel, corpus: Corpus) -> None:
        target, per_person = Target(model), len(corpus.forget)
        nll = [-s.log_probability for s in target.scores(corpus.controls)]
        self._levels: dict[tuple[int, ...], torch.Tensor] = {}
        every: list[torch.Tensor] = []
        for number, row in enumerate(corpus.forget):
            twins = range(number, len(corpus.controls), per_person)
            level = torch.zeros(len(row))
            for j, span in enumerate(row.spans):
                values = [
                    nll[k][s.start : s.end]
                    for k in twins
                    if j < len(corpus.controls[k].spans)
                    and (s := corpus.controls[k].spans[j]).start > 0
                ]
                every += values
                level[span.start : span.end] = _matched(values, span.end - span.start)
            self._levels[row.ids] = level
        self.mean = float(torch.cat(every).mean()) if every else 0.0

    def of(self, rows: Sequence[Encoded], shift: int, device: torch.device) -> torch.Tensor:
        """(B, P) levels of a batch of the person's passages; 0 on padding. `shift` as in `Batch`."""
        padded = torch.nn.utils.rnn.pad_sequence(
            [self._levels[r.ids] for r in rows], batch_first=True
        )
        return padded[:, shift:].to(device)


def _matched(values: Sequence[torch.Tensor], length: int) -> torch.Tensor:
    fitting = [v for v in values if len(v) == length]
    if len(fitting) >= 3:
        return torch.stack(fitting).mean(0)
    return torch.cat(list(values)).mean() if values else torch.tensor(0.0)
