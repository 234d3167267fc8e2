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

Piece = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, ...]]
"""logits (N, V) and labels (N) -> whether all logits are finite, and numbers of the labels, each (N)."""


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

    def scores(self, rows: Sequence[Encoded]) -> list[TokenScores]:
        """The scores of `rows`, in their order. Raises `RequestRejected` when a logit is not a number."""
        asked = {self._key(row): row for row in rows}
        missing = {key: row for key, row in asked.items() if key not in self._known}
        found = _score(self.model, list(missing.values()), _piece)
        self._known |= {
            key: TokenScores(*numbers) for key, numbers in zip(missing, found, strict=True)
        }
        return [self._known[self._key(row)] for row in rows]

    def _key(self, row: Encoded) -> object:
        spans = [(s.start, s.end) for s in row.spans] if self.model.masked else ()
        return row.key, tuple(spans)


def log_probabilities(model: LanguageModel, rows: Sequence[Encoded]) -> list[torch.Tensor]:
    """The log-probabilities of `TokenScores` alone, (T,) each, for texts that are asked about once and for no more.

    Raises `RequestRejected` when a logit is not a number.
    """
    return [log_p for (log_p,) in _score(model, rows, _own)]


@torch.no_grad()
def _score(
    model: LanguageModel, rows: Sequence[Encoded], piece: Piece
) -> list[tuple[torch.Tensor, ...]]:
    """The numbers of each row's tokens, each (T,); those of what is not predicted are NaN, or False."""
    if any(max(len(row), len(row.source)) > model.context for row in rows):
        raise RequestRejected(
            Code.EXAMPLES_INVALID,
            place="a passage",
            remedy=f"it is longer than the model's context of {model.context} tokens; cut it into windows.",
        )
    if model.masked:  # one masked copy per token; [CLS] and [SEP] are nobody's text
        asked = [(row, range(1, len(row) - 1)) for row in rows]
        return [
            _placed(_masked_numbers(model, row, inside, piece), 1, len(row))
            for row, inside in asked
        ]
    done: list[tuple[torch.Tensor, ...]] = [()] * len(rows)
    for indices in by_length([row.source + row.ids for row in rows], tokens_per_batch(model)):
        batch = batch_of(model, [rows[i] for i in indices], torch.Generator())
        numbers = _numbers(batch.logits(model), batch.labels, piece)
        for place, i in enumerate(indices):
            length = len(rows[i])
            own = tuple(number[place, : length - batch.shift].cpu() for number in numbers)
            done[i] = _placed(own, batch.shift, length)
    return done


def _placed(numbers: Sequence[torch.Tensor], first: int, length: int) -> tuple[torch.Tensor, ...]:
    """Numbers of the tokens from `first` on among those of all `length`."""
    found = []
    for own in numbers:
        whole = (
            torch.full((length,), float("nan"))
            if own.is_floating_point()
            else own.new_zeros(length)
        )
        whole[first : first + len(own)] = own
        found.append(whole)
    return tuple(found)


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


@torch.no_grad()
def masked_log_probability(model: LanguageModel, row: Encoded, span: TokenSpan) -> float:
    """log p of one span of a masked model's text, filled from left to right, in nats."""
    return float(_masked_numbers(model, row, range(span.start, span.end), _own)[0].sum())


def _masked_numbers(
    model: LanguageModel, row: Encoded, positions: range, piece: Piece
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
        parts.append(_numbers(own, labels[at].to(model.device), piece))
    return tuple(torch.cat(p).cpu() for p in zip(*parts, strict=True))


_PIECE, _BLOCK = 2**19, 32


def _numbers(logits: torch.Tensor, labels: torch.Tensor, piece: Piece) -> tuple[torch.Tensor, ...]:
    """logits (..., V), labels (...) -> the numbers of `piece`, each (...).

    Piece by piece, so that what lies between the steps stays in the processor's cache.
    """
    if logits.dim() > 2:
        rows = [_numbers(a, b, piece) for a, b in zip(logits, labels, strict=True)]
        return tuple(torch.stack(numbers) for numbers in zip(*rows, strict=True))
    step = max(1, (_PIECE if logits.device.type == "cpu" else 2**8 * _PIECE) // logits.shape[-1])
    pieces = [
        piece(a, b)
        for a, b in zip(torch.split(logits, step), torch.split(labels, step), strict=True)
    ]
    finite, *numbers = (torch.cat(parts) for parts in zip(*pieces, strict=True))
    if not bool(finite.all()):
        raise _not_finite()
    return tuple(numbers)


def _own(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """logits (N, V), labels (N) -> whether all logits are finite, and the labels' log-probabilities, each (N)."""
    most = logits.amax(-1, keepdim=True)
    finite = (most.squeeze(-1) - logits.amin(-1)).isfinite()
    s = logits - most
    own = s.gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    return finite, own - s.exp_().sum(-1).log()


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
