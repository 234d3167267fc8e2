"""What a method gives back, and the guards all of them share."""

import hashlib
import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from domain.errors import Code, UnlearningFailed
from domain.outcomes import Trace
from unlearning import models
from unlearning.manifest import MODEL, Manifest
from unlearning.models import LanguageModel


@dataclass(frozen=True)
class Unlearned:
    """A new model, how it came about, and the shards it is made of, where it is."""

    model: LanguageModel
    trace: Trace
    manifest: Manifest | None = None

    def save(self, folder: Path) -> Path:
        """Write the model to `folder`, with its shards beside it where there are some; returns the model's folder.

        Raises `Unavailable` when the disk is full; nothing is left then.
        """
        if self.manifest is None:
            models.save(self.model, folder)
            return folder
        self.manifest.write(folder, self.model)
        return folder / MODEL


def require_finite(method: str, terms: Mapping[str, float]) -> None:
    """Raise `UnlearningFailed` when a loss term is not a number: the method diverged."""
    if not all(math.isfinite(value) for value in terms.values()):
        raise UnlearningFailed(
            Code.METHOD_DIVERGED,
            place=f"method {method}",
            remedy="its numbers ran away; lower its learning rate in policy.yaml or let the next method try.",
        )


RAN_AWAY = 1000.0
"""Nats per token. Ascent without a bound reaches some hundreds; beyond this the logits have run away."""


def require_bounded(method: str, terms: Mapping[str, float], vocabulary: int) -> None:
    """Raise `UnlearningFailed` when a loss term, in nats per token, says that the model is broken.

    It is when neighbours are told worse than by a fair die with a face for each word, which what holds them in place
    would never let happen, or when any term is beyond what a model says of any text.
    """
    most = {name: math.log(vocabulary) for name in terms if name.startswith("neighbours")}
    if any(abs(value) > most.get(name, RAN_AWAY) for name, value in terms.items()):
        require_finite(method, {"terms": math.inf})


def require_finite_weights(method: str, model: LanguageModel) -> None:
    """Raise `UnlearningFailed` when the last step left a weight that is not a number."""
    bad = any(not bool(torch.isfinite(p).all()) for p in model.network.parameters())
    require_finite(method, {"weights": math.nan if bad else 0.0})


@dataclass
class Clock:
    """Seconds since the start, and the budget they may not pass."""

    method: str
    budget: float
    started: float = 0.0

    def __post_init__(self) -> None:
        self.started = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def require_time(self) -> None:
        """Raise `UnlearningFailed` when the budget is spent."""
        if self.seconds > self.budget:
            raise UnlearningFailed(
                Code.METHOD_OVER_BUDGET,
                place=f"method {self.method}",
                remedy="it ran over the policy's budget_seconds; raise the budget or let the next method try.",
            )


def seeded(seed: int) -> torch.Generator:
    """A generator of its own, so that the global random state is neither read nor moved."""
    return torch.Generator().manual_seed(seed)


def digest_of(edited: Iterable[str]) -> str:
    """SHA-256 over the labels of what was edited, in the order given: which it was, never its values."""
    return hashlib.sha256(",".join(edited).encode()).hexdigest()
