"""Does the model say the secret when it is given what stood before it?"""

from collections.abc import Sequence
from dataclasses import dataclass

from domain.intervals import rate
from domain.outcomes import AttackResult, Estimate, Rule, Score
from unlearning.attacks.asking import require_text
from unlearning.attacks.groups import require_groups, secrets
from unlearning.encoding import Encoded, TokenSpan
from unlearning.models import Kind
from unlearning.scoring import Target, answered


@dataclass(frozen=True)
class Extraction:
    """Greedy extraction of every secret from prefixes of several lengths (Carlini et al. 2023).

    A trial is one secret asked for with the `k` tokens before it; 0 means all the text before it. It is a hit when
    greedy decoding writes the whole secret, token for token. That is the case exactly when every one of its tokens is
    the first choice given the true ones before, so one forward pass answers. Masked models fill the masked span from
    left to right and see both sides, seq2seq models have read their source; `prefixes` does not apply to them. The rate
    of a classifier is that of texts put in their class; to extract from it there is nothing.

    Attributes:
        prefixes: numbers of tokens shown; a prefix as long as the text before the secret counts once.
    """

    prefixes: tuple[int, ...] = (0, 50)

    def run(
        self, target: Target, members: Sequence[Encoded], controls: Sequence[Encoded]
    ) -> AttackResult:
        """Rate of hits on the person and on people the model never saw."""
        require_groups(members, controls)
        require_text(target.model, "extraction")
        return AttackResult(
            "extraction",
            (
                Score(
                    "extraction",
                    "secrets x prefixes",
                    self.rate(target, members),
                    self.rate(target, controls),
                    rule=Rule.RATE,
                ),
            ),
        )

    def rate(self, target: Target, rows: Sequence[Encoded]) -> Estimate:
        """Hits and trials over all secrets of `rows`."""
        whole: list[tuple[Encoded, TokenSpan]] = []
        shorter: list[tuple[tuple[int, ...], int]] = []
        for _, row, span in secrets(rows):
            lengths = self.prefixes if target.model.kind is Kind.CAUSAL else (0,)
            for length in sorted({k if 0 < k < span.start else 0 for k in lengths}):
                if length == 0:
                    whole.append((row, span))
                else:
                    shorter.append((row.ids[span.start - length : span.end], length))
        with target.model.evaluating():
            scored = target.scores([row for row, _ in whole])
            hits = sum(answered(target.model, shorter))
        hits += sum(
            bool(scores.hit[span.start : span.end].all())
            for (_, span), scores in zip(whole, scored, strict=True)
        )
        return rate(hits, len(whole) + len(shorter))
