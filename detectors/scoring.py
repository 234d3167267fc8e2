"""A small local causal model as annotator: it writes nothing, and only says yes or no, by likelihood."""

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from detectors.annotation import Judgement, NoAnswerError, Part
from detectors.candidates import candidates, kind

_VERSION = "1"  # of the question
_YES, _NO = " yes", " no"
_NO_MODEL = (
    "the folder under detectors.annotator.model holds no causal language model in safetensors with its tokenizer; name "
    "one that does"
)


def question(person: Sequence[str], text: str, part: Part) -> str:
    """The text with the part in brackets, and what is asked about it."""
    start, end = part
    return (
        f"{text[:start]}[[{text[start:end]}]]{text[end:]}\n"
        f"Question: is the part in brackets private information about {' or '.join(person)}?\nAnswer:"
    )


@dataclass
class Scoring:
    """Asks a model in a folder, on this machine.

    Args:
        model: folder of a Hugging Face causal language model, weights as safetensors.

    """

    model: str
    _loaded: list[tuple[Any, Any]] = field(default_factory=list, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    @property
    def identity(self) -> str:
        return f"scoring {_VERSION} {self.model}"

    def propose(self, person: Sequence[str], text: str) -> list[Part]:  # noqa: ARG002
        """Whatever might be private by its looks; the model is not asked."""
        return candidates(text)

    def judge(self, person: Sequence[str], text: str, part: Part) -> Judgement:
        """P(" yes") against P(" no") behind the question, as score."""
        with self._lock:  # one forward pass at a time: each takes all cores
            score = self._score(question(person, text, part))
        return Judgement(True, kind(text[part[0] : part[1]]), score)

    def check(self) -> None:
        """Load the model."""
        with self._lock:
            self._load()

    def close(self) -> None:
        """There are no connections; the model stays loaded."""

    def _score(self, asked: str) -> float:
        import torch

        model, tokenizer = self._load()
        start = tokenizer(asked)["input_ids"]
        ends = [tokenizer(word, add_special_tokens=False)["input_ids"] for word in (_YES, _NO)]
        room = getattr(model.config, "max_position_embeddings", None)
        if room is not None and len(start) + max(map(len, ends)) > room:
            raise NoAnswerError(
                f"a question is longer than the {room} tokens that the model can read; lower "
                "detectors.annotator.context"
            )
        yes, no = (_log_likelihood(torch, model, start, end) for end in ends)
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


def _log_likelihood(torch: Any, model: Any, start: list[int], end: list[int]) -> float:
    """log P(end | start), in nats."""
    ids = torch.tensor([start + end])  # [1, tokens]
    with torch.inference_mode():
        logits = model(ids).logits[0, len(start) - 1 : -1]  # [tokens of end, vocabulary]
    return float(torch.log_softmax(logits.float(), -1)[range(len(end)), end].sum())
