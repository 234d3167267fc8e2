"""A causal model in a folder says how likely it finds each piece of a text."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

_LOGITS = 1 << 26  # numbers in the logits of one forward pass, where one text allows it
_HEADS = ("ForCausalLM", "LMHeadModel")
_NO_MODEL = "a folder holds no causal language model in safetensors with a fast tokenizer; name one that does"
_SURROGATE = re.compile("[\ud800-\udfff]")


class Piece(NamedTuple):
    """Code points `start:end` of a text, and their probability given all that stands before them."""

    start: int
    end: int
    probability: float


class NoModelError(ValueError):
    """The folder holds no model that can be asked. Carries the remedy in our words."""


@dataclass
class CausalModel:
    """Asks a model on this machine, on CUDA where there is one.

    Args:
        folder: of a Hugging Face causal language model, weights as safetensors, with its fast tokenizer.

    """

    folder: str
    _loaded: list[tuple[Any, Any]] = field(default_factory=list, init=False, repr=False)

    def __call__(self, texts: Sequence[str]) -> list[list[Piece]]:
        """The tokens of each text as pieces, in order and disjoint, without white space at their ends.

        Tokens that share a character are one piece. A text longer than the context is read in windows that overlap by
        half; each token is asked for in the window with most text before it. Without a start token the first token of
        a text, which nothing predicts, is left out.

        Raises `NoModelError`: there is no such model, or its numbers are not finite.
        """
        model, tokenizer = self.load()
        first = tokenizer.bos_token_id
        head = [tokenizer.eos_token_id if first is None else first]
        head = [] if head[0] is None else head
        read = tokenizer(
            [_SURROGATE.sub("\ufffd", text) for text in texts],
            add_special_tokens=False,
            return_offsets_mapping=True,
            verbose=False,
        )
        room = _room(model) - len(head)
        rows = [
            (number, start, head + ids[start : start + room])
            for number, ids in enumerate(read["input_ids"])
            for start in _starts(len(ids), room)
        ]
        logs = _logs(model, [row for _, _, row in rows])
        found: list[dict[int, float]] = [{} for _ in texts]  # log probability by place of the token
        for (number, start, _), own in zip(rows, logs, strict=True):
            for place, log in enumerate(own, start=start + 1 - len(head)):
                found[number].setdefault(place, log)
        return [
            _pieces(text, offsets, known)
            for text, offsets, known in zip(texts, read["offset_mapping"], found, strict=True)
        ]

    def load(self) -> tuple[Any, Any]:
        """Model and tokenizer, loaded once, from the disk alone. Raises `NoModelError`."""
        if not self._loaded:
            import torch
            from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

            try:
                config = AutoConfig.from_pretrained(Path(self.folder), local_files_only=True)
                says = (config.architectures or [""])[0].endswith(_HEADS)
                model = says and AutoModelForCausalLM.from_pretrained(
                    Path(self.folder), local_files_only=True, use_safetensors=True
                )
                tokenizer = AutoTokenizer.from_pretrained(Path(self.folder), local_files_only=True)
            except (OSError, ValueError):
                raise NoModelError(_NO_MODEL) from None
            if not says or not tokenizer.is_fast:
                raise NoModelError(_NO_MODEL)
            device = "cuda" if torch.cuda.is_available() else "cpu"
            self._loaded.append((model.to(device).eval(), tokenizer))
        return self._loaded[0]


def _room(model: Any) -> int:
    """Tokens that the model reads at once."""
    config = model.config.get_text_config()
    return int(getattr(config, "max_position_embeddings", None) or 1024)


def _starts(length: int, room: int) -> Iterator[int]:
    """Where each window of a text of that many tokens begins; every later one repeats half of the one before."""
    step = max(1, room // 2)
    yield from range(0, max(1, length - room + step) if length else 0, step)


def _logs(model: Any, rows: Sequence[list[int]]) -> list[list[float]]:
    """log p of each token but the first, given those before it, nats; texts of like length together."""
    together = _LOGITS // model.config.get_text_config().vocab_size  # tokens, with their padding
    logs: list[list[float]] = [[] for _ in rows]
    batch: list[int] = []
    for place in sorted(range(len(rows)), key=lambda n: len(rows[n])):
        if batch and len(rows[place]) * (len(batch) + 1) > together:
            _ask(model, rows, batch, logs)
            batch = []
        batch.append(place)
    if batch:
        _ask(model, rows, batch, logs)
    return logs


def _ask(
    model: Any, rows: Sequence[list[int]], batch: Sequence[int], logs: list[list[float]]
) -> None:
    """One forward pass. Padding on the right needs no mask: a causal model does not look there."""
    import torch

    longest = len(rows[batch[-1]])
    padded = [rows[n] + [0] * (longest - len(rows[n])) for n in batch]
    ids = torch.tensor(padded, device=model.device)  # (rows, longest)
    with torch.inference_mode():
        logits = model(input_ids=ids).logits[:, :-1].float()  # (rows, longest - 1, vocabulary)
        own = logits.gather(-1, ids[:, 1:, None])[..., 0] - logits.logsumexp(-1)
    for place, row in zip(batch, own.tolist(), strict=True):
        logs[place] = row[: len(rows[place]) - 1]
        if not all(map(math.isfinite, logs[place])):
            raise NoModelError("the model's numbers are not finite; name a sound model")


def _pieces(text: str, offsets: Sequence[tuple[int, int]], known: dict[int, float]) -> list[Piece]:
    """Tokens as pieces of the text; what is white space alone is none."""
    pieces: list[Piece] = []
    for place, (first, last) in enumerate(offsets):
        written = text[first:last]
        start, end = first + len(written) - len(written.lstrip()), first + len(written.rstrip())
        if start >= end or place not in known:
            continue
        piece = Piece(start, end, math.exp(min(0.0, known[place])))
        if pieces and start < pieces[-1].end:  # bytes of one character
            one = pieces.pop()
            piece = Piece(one.start, max(end, one.end), one.probability * piece.probability)
        pieces.append(piece)
    return pieces
