"""Exact by design: a model as base + mean of what shards learnt, from which a person can be taken out for good.

1. `train`: a frozen clean base; people by keyed hash to shards; one adapter for each shard, or all weights.
2. `drop`: the shards that hold the person lose what they learnt; the others are added up again. Seconds, and exact.
3. `complete`: what was dropped is trained again without the person. As exact, and nothing else is lost.

After 3 shards and model are, byte by byte, those of a training on the corpus without the person's documents (with the
same machine, versions and assignment). How documents are left out: `shard_training`.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import torch

from domain.errors import Code, RequestRejected, UnlearningFailed
from unlearning.assignment import Key, Source, clusters, place
from unlearning.deltas import LEARNT, WEIGHTS, WHOLE, combined, part, weights_sha256
from unlearning.manifest import Held, Manifest, Shard
from unlearning.models import Kind, LanguageModel, class_number, load
from unlearning.recipe import Recipe
from unlearning.shard_training import Text, train_shard

SOFTWARE = ("torch", "transformers", "peft")
MOST = 0.5
"""A cluster with more of the documents than this is a form that all share, not one person's texts."""


@dataclass(frozen=True)
class Work:
    """What it took: steps of each shard that was trained, and the losses of these steps, nats per token."""

    steps: Mapping[int, int]
    losses: tuple[float, ...]


def train(
    base: LanguageModel,
    base_path: str,
    sources: Sequence[Source],
    *,
    recipe: Recipe,
    key: Key,
    alive: Callable[[], None] = lambda: None,
) -> tuple[Manifest, LanguageModel, Work]:
    """Train all shards; the manifest and the model made of them.

    Raises:
        RequestRejected: MODEL_UNSUPPORTED for a model that is neither causal nor a classifier; CORPUS_EMPTY;
            EXAMPLES_INVALID when most documents are near-duplicates of each other, or one is in no class of the model.
        UnlearningFailed: as `train_shard`.
    """
    if base.kind not in {Kind.CAUSAL, Kind.CLASSIFIER}:
        raise RequestRejected(
            Code.MODEL_UNSUPPORTED,
            place="the base",
            remedy="shards are trained on causal models and classifiers only; name one.",
        )
    if not sources:
        raise RequestRejected(
            Code.CORPUS_EMPTY, place="the documents", remedy="there is none; name a file with text."
        )
    recipe = replace(
        recipe,
        device=base.device.type,
        threads=torch.get_num_threads(),
        software={name: version(name) for name in SOFTWARE},
    )
    found = clusters(sources, key, recipe.near)
    largest = max(Counter(found).values())
    if recipe.shards > 1 and largest > max(1, MOST * len(sources)):
        raise RequestRejected(
            Code.EXAMPLES_INVALID,
            place="the documents",
            remedy=f"people or near-duplicates tie {largest} of {len(sources)} documents together, so that they would "
            "all be in one shard; raise --near, or check the person field.",
        )
    held: list[list[Held]] = [[] for _ in range(recipe.shards)]
    for source, cluster in zip(sources, found, strict=True):
        shard, part = place(cluster, key, recipe.shards, recipe.slices)
        tag, label = key.tag(source.text), _class_of(source, base)
        held[shard].append(Held(source.reference, tag, part, label))
    empty = Manifest(
        tuple(Shard(tuple(documents)) for documents in held),
        base_path,
        weights_sha256(base.network),
        key.id,
        recipe,
    )
    texts = {source.reference: source.text for source in sources}
    manifest, work = complete(empty, base, texts, key, alive=alive)
    return *recombine(manifest, base), work


def _class_of(source: Source, base: LanguageModel) -> int | None:
    """The number of the document's class; a causal model knows none."""
    if base.kind is not Kind.CLASSIFIER:
        return None
    number = class_number(base, source.label)
    if number is None:
        raise RequestRejected(
            Code.EXAMPLES_INVALID,
            place=f"{source.reference}, label",
            remedy="a classifier learns the class of each text; name the field with the name or number of one it has.",
        )
    return number


def drop(manifest: Manifest, references: frozenset[str]) -> Manifest:
    """Take documents out: the shards that held them have learnt nothing any more, until `complete`."""
    shards = tuple(
        shard
        if shard.references.isdisjoint(references)
        else Shard(tuple(h for h in shard.documents if h.reference not in references))
        for shard in manifest.shards
    )
    gone = references & frozenset[str]().union(*(s.references for s in manifest.shards))
    return replace(manifest, shards=shards, dropped=manifest.dropped | gone, combined_sha256="")


def complete(
    manifest: Manifest,
    base: LanguageModel,
    texts: Mapping[str, str],
    key: Key,
    *,
    earlier: Manifest | None = None,
    alive: Callable[[], None] = lambda: None,
) -> tuple[Manifest, Work]:
    """Train every shard that is due on its documents; `earlier` had them trained with more of them.

    The manifest then says how long a step took, for an estimate of the next time.

    Raises `UnlearningFailed`: DIGEST_MISMATCH for another base; METHOD_INAPPLICABLE for another key, when a document
    is not in `texts` or is not what the shard was trained on; as `train_shard`.
    """
    require_base(manifest, base)
    require_key(manifest, key)
    shards, steps, losses = list(manifest.shards), dict[int, int](), list[float]()
    seconds = 0.0
    for number in manifest.due:
        documents = shards[number].documents
        if any(key.tag(texts.get(h.reference, "")) != h.tag for h in documents):
            raise UnlearningFailed(
                Code.METHOD_INAPPLICABLE,
                place=f"the documents of shard {number}",
                remedy="some are missing or are not what the shard was trained on; name the corpus as it was, with its "
                "rows in the same place.",
            )
        own = [Text(h.tag, h.slice, texts[h.reference], h.label) for h in documents]
        before = earlier.shards[number].read() if earlier is not None else None
        began = time.monotonic()
        files, taken = train_shard(base, own, manifest.recipe, number, earlier=before, alive=alive)
        seconds += time.monotonic() - began
        shards[number] = Shard(documents, files)
        steps[number] = len(taken)
        losses += taken
    pace = seconds / len(losses) if losses else manifest.seconds_per_step
    done = replace(manifest, shards=tuple(shards), combined_sha256="", seconds_per_step=pace)
    return done, Work(steps, tuple(losses))


def recombine(manifest: Manifest, base: LanguageModel) -> tuple[Manifest, LanguageModel]:
    """Base + mean of the shards there are, and the manifest that names it.

    Raises `UnlearningFailed`: DIGEST_MISMATCH for another base; METHOD_INAPPLICABLE when none is left.
    """
    require_base(manifest, base)
    shards = [s for s in manifest.shards if s.files]
    if not shards:
        raise UnlearningFailed(
            Code.METHOD_INAPPLICABLE,
            place="the shards of the model",
            remedy="none is left without this person; retrain them first, or serve the base.",
        )
    model = combined(base, [part(s.read(*LEARNT)) for s in shards])
    return replace(manifest, combined_sha256=weights_sha256(model.network)), model


def load_base(manifest: Manifest, device: str, instead: str = "") -> LanguageModel:
    """The base of a manifest, or the folder to which it was moved.

    Raises `UnlearningFailed`: METHOD_INAPPLICABLE when it cannot be read; DIGEST_MISMATCH as `require_base`.
    """
    try:
        base = load(Path(instead or manifest.base), device)
    except RequestRejected as error:
        raise UnlearningFailed(
            Code.METHOD_INAPPLICABLE,
            place="the base of the shards",
            remedy="it cannot be read as a model; restore it, or name where it is now with the option base.",
        ) from error
    require_base(manifest, base)
    return base


def teacher_of(
    manifest: Manifest, number: int, base: LanguageModel | None, device: str
) -> LanguageModel:
    """What one shard alone has learnt: base + its delta, or a model of its own.

    Raises `UnlearningFailed` (METHOD_INAPPLICABLE) when it is neither.
    """
    shard = manifest.shards[number]
    if base is not None and not {WEIGHTS, WHOLE}.isdisjoint(shard.files):
        return combined(base, [part(shard.read(*LEARNT))])
    own = shard.files.get("config.json")
    if isinstance(own, Path):
        with suppress(RequestRejected):
            return load(own.parent, device)
    raise UnlearningFailed(
        Code.METHOD_INAPPLICABLE,
        place=f"shard {number}",
        remedy="it holds neither what it learnt on the manifest's base nor a model; restore it.",
    )


def require_base(manifest: Manifest, base: LanguageModel) -> None:
    """Raise `UnlearningFailed` (DIGEST_MISMATCH) when it is not the base of this manifest."""
    if weights_sha256(base.network) != manifest.base_sha256:
        raise UnlearningFailed(
            Code.DIGEST_MISMATCH,
            place="the base of the shards",
            remedy="its weights are not those that the manifest names; restore them.",
        )


def require_key(manifest: Manifest, key: Key) -> None:
    """Raise `UnlearningFailed` (METHOD_INAPPLICABLE) when it is not the key of this manifest."""
    if key.id != manifest.key_id:
        raise UnlearningFailed(
            Code.METHOD_INAPPLICABLE,
            place="the shard key",
            remedy="the manifest was made with another one; restore that.",
        )
