"""How shards are trained; with base, key and documents it decides every byte of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from domain.errors import Code, RequestRejected

_SEEDS = 2**62  # torch takes 64 bits, and a shard's number is added


@dataclass(frozen=True)
class Recipe:
    """The knobs of `train`, and what it notes of the machine.

    Attributes:
        shards: so many isolated parts; the expected cost of one erasure is 1/shards of a training.
        slices: checkpoints of a shard, after each of so many growing parts of its people (SISA).
        rank: of the adapters; their scale is 2. At 0 a shard learns all weights.
        rate: highest learning rate of AdamW, at most 1; a tenth of the steps to warm up, then a cosine to a tenth.
        steps, batch: optimiser steps of one shard, and texts in each.
        length: tokens of a text that are read at once; longer ones are cut.
        seed: of first weights and order.
        every: weights and optimiser state are kept each so many steps, for replay; 0 keeps none.
        near: Jaccard index of near-duplicates, see `near`.
        device, threads: where sums were made; on others they may round differently.
        software: versions that have a say in the bytes.
    """

    shards: int = 8
    slices: int = 1
    rank: int = 16
    rate: float = 2e-3
    steps: int = 300
    batch: int = 8
    length: int = 128
    seed: int = 0
    every: int = 0
    near: float = 0.7
    device: str = "cpu"
    threads: int = 1
    software: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        least = {"shards": 1, "slices": 1, "rank": 0, "steps": self.slices, "batch": 1}
        least |= {"length": 2, "every": 0, "near": 0, "threads": 1}
        wrong = {
            name: f"a number and at least {bound:g}"
            for name, bound in least.items()
            if not getattr(self, name) >= bound
        }
        if not 0 < self.rate <= 1:
            wrong["rate"] = "a number above 0 and at most 1"
        if not abs(self.seed) < _SEEDS:
            wrong["seed"] = f"a number below {_SEEDS}"
        for name, what in wrong.items():
            raise RequestRejected(
                Code.SETTING_INVALID, place=f"option --{name}", remedy=f"it must be {what}."
            )


KNOBS = tuple(f.name for f in fields(Recipe) if f.name not in ("device", "threads", "software"))
"""What one chooses; the rest is noted."""
