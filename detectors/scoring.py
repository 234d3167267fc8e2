"""A small local causal model as annotator: it writes nothing, and only says yes or no, by likelihood."""

import math
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from detectors.annotation import Judgement, NoAnswerError, Part
from detectors.candidates import candidates, kind

VERSION = "2"
"""Of the question."""
_NEAR = 32  # characters on either side of a part that are repeated in the question
YES, NO = " yes", " no"
_SHORT = 2  # letters of a word that is not a name by itself: "de", "al"
_NO_MODEL = (
    "the folder under detectors.annotator.model holds no causal language model in safetensors with its tokenizer; name "
    "one that does"
)


def question(person: Sequence[str], text: str, part: Part) -> str:
    """The text, and what is asked about the part, which stands in brackets among the words near it.

    The person's names are all written SUBJECT: a small model need not learn to compare names.
    """
    return disguised(person, text) + asked(person, text, part)


def asked(person: Sequence[str], text: str, part: Part) -> str:
    """What is asked behind the text. Several such questions may follow each other: none holds an answer."""
    start, end = part
    first, last = max(0, start - _NEAR), min(len(text), end + _NEAR)
    while 0 < first < start and not text[first - 1].isspace():
        first += 1
    while end < last < len(text) and not text[last].isspace():
        last -= 1
    before, marked, behind = (
        disguised(person, piece) for piece in (text[first:start], text[start:end], text[end:last])
    )
    return f"\n\n{before}[[{marked}]]{behind}\nPrivate about SUBJECT:"


def disguised(person: Sequence[str], text: str) -> str:
    """The text with SUBJECT in place of each of the names, and of each of their longer words."""
    words = [word for name in person for word in name.split() if len(word) > _SHORT]
    names = sorted({*person, *words}, key=len, reverse=True)
    pattern = "|".join(re.escape(name) for name in names)
    return re.sub(rf"(?<!\w)(?:{pattern})(?!\w)", "SUBJECT", text) if names else text


class ByLooks:
    """Proposes without the model, which only judges."""

    def propose(self, person: Sequence[str], text: str) -> list[Part]:  # noqa: ARG002  as the protocol has it
        """Whatever might be private by its looks; the model is not asked."""
        return candidates(text)


@dataclass
class Scoring(ByLooks):
    """Asks a model in a folder, on this machine.

    Args:
        model: folder of a Hugging Face causal language model, weights as safetensors.

    """

    model: str
    _loaded: list[tuple[Any, Any]] = field(default_factory=list, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    @property
    def identity(self) -> str:
        return f"scoring {VERSION} {self.model}"

    def judge(self, person: Sequence[str], text: str, part: Part) -> Judgement:
        """P(" yes") against P(" no") behind the question, as score."""
        with self._lock:  # one forward pass at a time: each takes all cores
            score = self._score(person, text, part)
        return Judgement(True, kind(text[part[0] : part[1]]), score)

    def check(self) -> None:
        """Load the model."""
        with self._lock:
            self._load()

    def close(self) -> None:
        """There are no connections; the model stays loaded."""

    def _score(self, person: Sequence[str], text: str, part: Part) -> float:
        import torch

        model, tokenizer = self._load()
        ends = [tokenizer(word, add_special_tokens=False)["input_ids"] for word in (YES, NO)]
        room = getattr(model.config, "max_position_embeddings", 1 << 20) - max(map(len, ends))
        start = _fitting(tokenizer, room, person, text, part)
        yes, no = _log_likelihoods(torch, model, start, ends)
        if not (math.isfinite(yes) and math.isfinite(no)):
            raise NoAnswerError("the model's likelihoods are not finite; name a sound model")
        return 1 / (1 + math.exp(min(700.0, no - yes)))

    def _load(self) -> tuple[Any, Any]:
        """Model and tokenizer, loaded once, from the disk alone."""
        if not self._loaded:
            from transformers import AutoModelForCausalLM, AutoTokenizer

            if not Path(self.model).is_dir():
                raise NoAnswerError(_NO_MODEL)
            try:
                model = AutoModelForCausalLM.from_pretrained(
                    self.model, local_files_only=True, use_safetensors=True
                )
                tokenizer = AutoTokenizer.from_pretrained(self.model, local_files_only=True)
            except (OSError, ValueError):
                raise NoAnswerError(_NO_MODEL) from None
            self._loaded.append((model.eval(), tokenizer))
        return self._loaded[0]


def _fitting(tokenizer: Any, room: int, person: Sequence[str], text: str, part: Part) -> list[int]:
    """The tokens of the question, with as much text on both sides of the part as the model can read."""
    reach = len(text)
    while True:
        first = max(0, part[0] - reach)
        near = text[first : part[1] + reach]
        asked = question(person, near, (part[0] - first, part[1] - first))
        ids: list[int] = tokenizer(asked)["input_ids"]
        if len(ids) <= room:
            return ids
        if not reach:
            raise NoAnswerError(
                f"a part and the names are longer than the {room} tokens that the model can read; name another model"
            )
        reach //= 2


def _log_likelihoods(
    torch: Any, model: Any, start: list[int], ends: Sequence[list[int]]
) -> list[float]:
    """log P(end | start) of each end, in nats; ends of one token share one forward pass."""
    if all(len(end) == 1 for end in ends):
        logits = _logits(torch, model, start)[-1].log_softmax(-1)  # [vocabulary]
        return [float(logits[end[0]]) for end in ends]
    logs = []
    for end in ends:
        logits = _logits(torch, model, start + end)[
            len(start) - 1 : -1
        ]  # [tokens of end, vocabulary]
        logs.append(float(logits.log_softmax(-1)[range(len(end)), end].sum()))
    return logs


def _logits(torch: Any, model: Any, ids: list[int]) -> Any:
    with torch.inference_mode():
        return model(torch.tensor([ids])).logits[0].float()  # [tokens, vocabulary]
