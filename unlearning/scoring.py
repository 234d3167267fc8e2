"""One pass over the texts that feeds every black-box score.

For most models one teacher-forced forward pass gives each token's log-probability, whether greedy decoding would
say it, and the mean and deviation of the log-probability over the vocabulary. For a masked model the same four numbers
come from the pseudo-likelihood that fills a span from left to right: token t is masked, and with it the rest of its
span (Kauf & Ivanova 2023, PLL-word-l2r; Salazar et al. 2020 outside of spans). A seq2seq model's are those of its
answer; a classifier has one, that of the class.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from domain.errors import Code, RequestRejected
from domain.records import SpanKind
from unlearning.batches import batch_of
from unlearning.encoding import Encoded, TokenSpan, by_length, pad
from unlearning.models import LanguageModel, tokens_per_batch

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class TokenScores:
    """Scores of one encoded passage, each of shape (T,), float32 or bool, on the CPU.

    Attributes:
        log_probability: of token t, in nats; NaN where the model does not predict it (the start token).
        hit: token t is the model's first choice.
        mean, deviation: of log p(v) over the vocabulary, under p itself (Min-K%++, Zhang et al. 2024, eq. 3).
        sampled: log-probability of token t when the model is sampled from its `TOP_K` likeliest tokens at temperature
            1, in nats; minus infinity outside of them.
    """

    log_probability: torch.Tensor
    hit: torch.Tensor
    mean: torch.Tensor
    deviation: torch.Tensor
    sampled: torch.Tensor


TOP_K = 40
"""The sampling scheme of (n, p)-discoverable extraction (Hayes et al. 2024: top-k 40, temperature 1)."""


@dataclass(slots=True)
class Target:
    """A model under attack, with the scores already computed: each text passes through the network once.

    A masked model's scores depend on where the secrets lie as well as on the text.

    Attributes:
        model: the model.
        seed: what an attack draws comes from it.
        neighbours: other people's passages of the same form: context for prompts, text to fine-tune on.
        ordinary: text about nobody, to fine-tune on.
        references: models that never saw the person, to compare scores with.
        retrained: the same model trained again without the person, where that can be had.
        original: the model before anything was unlearned, for the attacks that compare with it.
    """

    model: LanguageModel
    seed: int = 0
    neighbours: Sequence[Encoded] = field(default=(), repr=False)
    ordinary: Sequence[Encoded] = field(default=(), repr=False)
    references: Sequence[LanguageModel] = ()
    retrained: LanguageModel | None = None
    original: LanguageModel | None = None
    _known: dict[object, TokenScores] = field(default_factory=dict, repr=False)

    def scores(
        self, rows: Sequence[Encoded], progress: Progress | None = None
    ) -> list[TokenScores]:
        """The scores of `rows`, in their order. Raises `RequestRejected` when a logit is not a number."""
        asked = {self._key(row): row for row in rows}
        missing = [row for key, row in asked.items() if key not in self._known]
        for count, (row, scores) in enumerate(_score(self.model, missing), start=1):
            self._known[self._key(row)] = scores
            if progress is not None:
                progress(count, len(missing))
        return [self._known[self._key(row)] for row in rows]

    def _key(self, row: Encoded) -> object:
        spans = [(s.start, s.end) for s in row.spans] if self.model.masked else ()
        return row.key, tuple(spans)


@torch.no_grad()
def _score(model: LanguageModel, rows: Sequence[Encoded]) -> Sequence[tuple[Encoded, TokenScores]]:
    if any(max(len(row), len(row.source)) > model.context for row in rows):
        raise RequestRejected(
            Code.EXAMPLES_INVALID,
            place="a passage",
            remedy=f"it is longer than the model's context of {model.context} tokens; cut it into windows.",
        )
    if model.masked:
        return [(row, _score_masked(model, row)) for row in rows]
    done = []
    for indices in by_length([row.source + row.ids for row in rows], tokens_per_batch(model)):
        chosen = [rows[i] for i in indices]
        batch = batch_of(model, chosen, torch.Generator())
        numbers = _numbers(batch.logits(model), batch.labels)
        done += [(row, _trimmed(numbers, i, len(row), batch.shift)) for i, row in enumerate(chosen)]
    return done


@torch.no_grad()
def answered(model: LanguageModel, asked: Sequence[tuple[tuple[int, ...], int]]) -> list[bool]:
    """For each (ids, start) whether greedy decoding after `ids[:start]` writes the rest, start >= 1, causal models.

    Only the ends of the texts go through the output head. Raises `RequestRejected` when a logit is not a number.
    """
    found = [False] * len(asked)
    for batch in by_length([ids for ids, _ in asked], tokens_per_batch(model)):
        chosen = [asked[i] for i in batch]
        ids, mask = pad([text for text, _ in chosen], 0, model.device)
        kept = ids.shape[1] - min(start for _, start in chosen) + 1
        with model.autocast():
            logits = model.network(
                input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=kept
            ).logits
        logits = logits[:, -kept:]  # (B, kept, V); a network of its own kind may give all
        if not bool(logits.isfinite().all()):
            raise _not_finite()
        right = logits[:, :-1].argmax(-1) == ids[:, 1 - kept :]
        first = ids.shape[1] - kept + 1  # the token that right[:, 0] is about
        for i, (text, start), row in zip(batch, chosen, right, strict=True):
            found[i] = bool(row[start - first : len(text) - first].all())
    return found


def _not_finite() -> RequestRejected:
    return RequestRejected(
        Code.MODEL_NOT_FINITE,
        place="the model's logits",
        remedy="they hold NaN or infinity, so nothing can be measured; restore the model from a good copy.",
    )


def _trimmed(numbers: Sequence[torch.Tensor], row: int, length: int, shift: int) -> TokenScores:
    """Row `row` without its padding, with the `shift` unpredicted first tokens put back in front."""
    own = (n[row, : length - shift].cpu() for n in numbers)
    log_probability, hit, mean, deviation, sampled = own
    first = torch.full((shift,), float("nan"))
    return TokenScores(
        torch.cat([first, log_probability]),
        torch.cat([torch.zeros(shift, dtype=torch.bool), hit]),
        torch.cat([first, mean]),
        torch.cat([first, deviation]),
        torch.cat([first, sampled]),
    )


def _score_masked(model: LanguageModel, row: Encoded) -> TokenScores:
    """One masked copy per token; [CLS] and [SEP] are nobody's text."""
    length = len(row)
    numbers = _masked_numbers(model, row, range(1, length - 1))
    log_probability, mean, deviation, sampled = torch.full((4, length), float("nan")).unbind()
    hit = torch.zeros(length, dtype=torch.bool)
    whole = TokenScores(log_probability, hit, mean, deviation, sampled)
    for row_of, part in zip((log_probability, hit, mean, deviation, sampled), numbers, strict=True):
        row_of[1 : length - 1] = part
    return whole


@torch.no_grad()
def masked_log_probability(model: LanguageModel, row: Encoded, span: TokenSpan) -> float:
    """log p of one span of a masked model's text, filled from left to right, in nats."""
    return float(_masked_numbers(model, row, range(span.start, span.end))[0].sum())


def _masked_numbers(
    model: LanguageModel, row: Encoded, positions: range
) -> tuple[torch.Tensor, ...]:
    """`_numbers` of the tokens at `positions`, each asked for in a copy of its own; the copies are batched."""
    # copy i asks for token positions[i]
    copies = torch.tensor(row.ids).repeat(len(positions), 1)  # (P, T)
    ends = {t: span.end for span in row.spans for t in range(span.start, span.end)}
    for copy, t in zip(copies, positions, strict=True):
        copy[t : ends.get(t, t + 1)] = model.tokenizer.mask_token_id
    labels, parts = torch.tensor(row.ids), []
    step = max(1, tokens_per_batch(model) // len(row))
    for start in range(0, len(positions), step):
        at = torch.tensor(list(positions[start : start + step]))
        chunk = copies[start : start + step].to(model.device)
        with model.autocast():
            logits = model.network(input_ids=chunk).logits
        own = logits[torch.arange(len(chunk)), at].float()  # (chunk, V)
        parts.append(_numbers(own, labels[at].to(model.device)))
    return tuple(torch.cat(p).cpu() for p in zip(*parts, strict=True))


_PIECE, _BLOCK = 2**19, 32


def _numbers(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """logits (..., V), labels (...) -> the five numbers of `TokenScores`, in its order, each (...).

    Piece by piece, so that what lies between the steps stays in the processor's cache.
    """
    if logits.dim() > 2:
        rows = [_numbers(a, b) for a, b in zip(logits, labels, strict=True)]
        return tuple(torch.stack(numbers) for numbers in zip(*rows, strict=True))
    step = max(1, (_PIECE if logits.device.type == "cpu" else 2**8 * _PIECE) // logits.shape[-1])
    pieces = [
        _piece(a, b)
        for a, b in zip(torch.split(logits, step), torch.split(labels, step), strict=True)
    ]
    finite, *numbers = (torch.cat(parts) for parts in zip(*pieces, strict=True))
    if not bool(finite.all()):
        raise _not_finite()
    return tuple(numbers)


def _piece(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """logits (N, V), labels (N) -> whether all logits are finite, and the five numbers, each (N).

    Mean and deviation are those of s = logit - largest logit, which a shift by log sum exp s makes those of log p.
    """
    most, first = logits.max(-1)
    finite = (most - logits.amin(-1)).isfinite()
    s = logits - most.unsqueeze(-1)
    weight = s.exp()  # (N, V), p times `total`
    total = weight.sum(-1)
    own = s.gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    top = _likeliest(s)
    sampled = torch.where(own >= top.amin(-1), own - top.logsumexp(-1), -torch.inf)
    mean = torch.linalg.vecdot(weight, s) / total
    s -= mean.unsqueeze(-1)
    weight *= s
    variance = torch.linalg.vecdot(weight, s) / total
    shift = total.log()
    deviation = variance.clamp(min=1e-6).sqrt()
    return finite, own - shift, first == labels, mean - shift, deviation, sampled


def _likeliest(s: torch.Tensor) -> torch.Tensor:
    """s (N, V) -> its `TOP_K` largest values in each row, in any order, (N, K).

    They lie in the K blocks whose largest values are largest, and in what the blocks leave over; only those are sorted.
    """
    count, vocabulary = s.shape
    blocks = vocabulary // _BLOCK
    if blocks <= TOP_K:
        return s.topk(min(TOP_K, vocabulary), sorted=False).values
    inside, rest = s[:, : blocks * _BLOCK].view(count, blocks, _BLOCK), s[:, blocks * _BLOCK :]
    best = inside.amax(-1).topk(TOP_K, sorted=False).indices  # (N, K)
    kept = inside.gather(1, best.unsqueeze(-1).expand(-1, -1, _BLOCK)).view(count, -1)
    return torch.cat([kept, rest], dim=-1).topk(TOP_K, sorted=False).values


def said(target: Target, rows: Sequence[Encoded]) -> int:
    """How many of the secrets, names left out, greedy decoding still says from all the text before them."""
    return sum(
        bool(scores.hit[span.start : span.end].all())
        for row, scores in zip(rows, target.scores(rows), strict=True)
        for span in row.spans
        if span.kind is not SpanKind.PERSON and row.asks(span)
    )
