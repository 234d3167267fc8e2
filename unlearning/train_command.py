"""The command `train`, of `lethe` and of `python -m unlearning`: a model from which people can be taken out exactly."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from domain.errors import Code, RequestRejected
from unlearning import models, sharded
from unlearning.assignment import Key, Source, create_key, load_key
from unlearning.manifest import MODEL, require_writable
from unlearning.recipe import Recipe


@dataclass(frozen=True)
class Report:
    """What was made: the folder of the model, and of each shard its documents; steps and the last loss, in nats."""

    model: str
    key_id: str
    documents: tuple[int, ...]
    steps: int
    loss: float
    combined_sha256: str

    @property
    def sentence(self) -> str:
        """The same for a person at a terminal."""
        spread = " ".join(map(str, self.documents))
        return (
            f"model: {self.model}\ndocuments in each shard: {spread}\n"
            f"{self.steps} steps, last loss {self.loss:.3f} nats\nweights {self.combined_sha256}"
        )


def train(
    base: Path,
    read: Callable[[], Sequence[Source]],
    out: Path,
    key: Path,
    recipe: Recipe,
    *,
    device: str = "",
    watch: Callable[[int, int], None] = lambda _done, _all: None,
) -> Report:
    """Train on what `read` gives into the new folder `out`; the key is made when it is not there.

    `watch` is told before each step which one it is, and of how many.

    Raises `RequestRejected` when something given cannot be used, `Unavailable` when nothing can be written to `out`,
    `UnlearningFailed` as `sharded.train`.
    """
    if out.exists():
        raise RequestRejected(
            Code.EXAMPLES_INVALID,
            place="--out",
            remedy="the folder exists; models are never overwritten, name a new one.",
        )
    require_writable(out)
    sources = read()
    model = models.load(base, device)
    secret: Key = load_key(key) if key.exists() else create_key(key)
    steps = count(1)
    manifest, trained, work = sharded.train(
        model,
        str(base.resolve()),
        sources,
        recipe=recipe,
        key=secret,
        alive=lambda: watch(next(steps), recipe.shards * recipe.steps),
    )
    manifest.write(out, trained)
    return Report(
        str(out / MODEL),
        secret.id,
        tuple(len(shard.documents) for shard in manifest.shards),
        sum(work.steps.values()),
        work.losses[-1],
        manifest.combined_sha256,
    )
