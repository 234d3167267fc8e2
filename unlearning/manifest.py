"""The manifest of a model made of shards: who is where, by what recipe, and the digests of all of it.

    <folder>/manifest.json
    <folder>/shards/<number>/     an adapter in peft's form, or all weights; where asked for, checkpoints and the log of
                                  its training
    <folder>/model/               base + mean of the shards: an ordinary model directory, the only part that is served

It holds no text and no names. A document is written as `<file>#<row>` and as a keyed digest of its text. For whoever
also has the corpus the first is a pointer to a person, and a shard knows its people better than the model does: both
are personal data, belong where the corpus is, and never onto the machine that serves the model. Without the key, which
is kept apart, the digests say nothing.

A list of teachers for `loo_ensemble` is the same file with nothing but `shards`; each is then an adapter or a model.
"""

import hashlib
import json
import math
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, NamedTuple

from domain.errors import Code, RequestRejected, Unavailable, UnlearningFailed
from unlearning import models
from unlearning.models import LanguageModel
from unlearning.recipe import Recipe

NAME, MODEL = "manifest.json", "model"
VERSION = 1
_FAULTS = (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""What comes of reading a file that is no manifest."""
_PACE = "seconds_per_step"


class Held(NamedTuple):
    """A document in a shard: where it stands, the keyed digest of its text, its slice from 0, and its class."""

    reference: str
    tag: str = ""
    slice: int = 0
    label: int | None = None


@dataclass(frozen=True)
class Shard:
    """One part. `files` are those under its folder, in memory or on the disk; none: it is yet to be trained."""

    documents: tuple[Held, ...]
    files: Mapping[str, bytes | Path] = field(default_factory=dict, repr=False)

    def read(self, *names: str) -> dict[str, bytes]:
        """Files in memory: those of these names that there are, or all."""
        wanted = {n: f for n, f in self.files.items() if not names or n in names}
        return {n: f if isinstance(f, bytes) else f.read_bytes() for n, f in wanted.items()}

    def digests(self) -> dict[str, str]:
        """SHA-256 of each file, by name."""
        return {name: _sha256(file) for name, file in sorted(self.files.items())}

    @property
    def references(self) -> frozenset[str]:
        return frozenset(held.reference for held in self.documents)


@dataclass(frozen=True)
class Manifest:
    """A model made of shards.

    Attributes:
        shards: all of them, by number; one without documents has nothing to do.
        base, base_sha256: folder and weights of the model that was frozen beneath; none for a list of teachers.
        key_id: of the key by which people were assigned and texts digested.
        recipe: how the shards were trained.
        dropped: references of documents that were taken out since: they still stand in the corpus, or in its redacted
            copy, and a later search finds them again.
        combined_sha256: weights of the model made of them.
        seconds_per_step: of the last training of shards, clock time; None in a manifest that does not say. It is
            never the same twice, and says nothing about what the model is: two manifests are equal without it.
    """

    shards: tuple[Shard, ...]
    base: str = ""
    base_sha256: str = ""
    key_id: str = ""
    recipe: Recipe = field(default_factory=Recipe)
    dropped: frozenset[str] = frozenset()
    combined_sha256: str = ""
    seconds_per_step: float | None = field(default=None, compare=False)

    @property
    def due(self) -> tuple[int, ...]:
        """Shards that have documents and were not trained on them yet."""
        return tuple(n for n, s in enumerate(self.shards) if s.documents and not s.files)

    @property
    def steps_due(self) -> int:
        """Steps that it takes to train these from the beginning."""
        return len(self.due) * self.recipe.steps

    def holding(self, references: frozenset[str]) -> tuple[int, ...]:
        """Shards that hold one of these documents."""
        return tuple(
            n for n, s in enumerate(self.shards) if not s.references.isdisjoint(references)
        )

    def write(self, folder: Path, model: LanguageModel) -> None:
        """Write manifest, shards and model; the folder appears all at once, and nothing is ever overwritten.

        Raises `RequestRejected` when another training has written there first, `Unavailable` when it cannot be written,
        as on a full disk; nothing is left then.
        """
        if folder.exists():
            raise RequestRejected(
                Code.EXAMPLES_INVALID,
                place=f"shard folder {folder.name}",
                remedy="it exists, and models are never overwritten; name a new one.",
            )
        with _beside(folder) as partial:
            self._fill(partial, model)
            partial.rename(folder)

    def _fill(self, folder: Path, model: LanguageModel) -> None:
        for number, shard in enumerate(self.shards):
            own = folder / _folder(number)
            for name, file in shard.files.items():
                own.mkdir(parents=True, exist_ok=True)
                if isinstance(file, bytes):
                    (own / name).write_bytes(file)
                else:
                    shutil.copyfile(file, own / name)
        (folder / NAME).write_text(self._json(), "utf-8")
        models.save(model, folder / MODEL)

    def _json(self) -> str:
        value = {
            "version": VERSION,
            "base": self.base,
            "base_sha256": self.base_sha256,
            "key_id": self.key_id,
            "recipe": asdict(self.recipe),
            "dropped": sorted(self.dropped),
            "combined_sha256": self.combined_sha256,
            "seconds_per_step": self.seconds_per_step,
            "shards": [
                {"path": _folder(n), "files": s.digests(), "documents": s.documents}
                for n, s in enumerate(self.shards)
            ],
        }
        return json.dumps(value, indent=1) + "\n"


@contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """A new folder, mode 0700, on the same disk as `folder` shall be; what was not renamed is gone afterwards."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=f".{folder.name}.", dir=folder.parent, ignore_cleanup_errors=True
        ) as partial:
            yield Path(partial)
    except OSError:
        raise Unavailable(
            Code.DISK,
            place=f"shard folder {folder.name}",
            remedy="it could not be written; check the folder above it, free disk space and run again.",
        ) from None


def require_writable(folder: Path) -> None:
    """Raise `Unavailable` when a manifest could not be written there: better before a training than after it."""
    with _beside(folder):
        pass


def kind(folder: Path | None) -> Literal["", "teachers", "model"]:
    """What a manifest there describes: a model, teachers alone (also one that cannot be read), or nothing."""
    if folder is None or not (folder / NAME).is_file():
        return ""
    try:
        return (
            "model" if json.loads((folder / NAME).read_text("utf-8"))["base_sha256"] else "teachers"
        )
    except _FAULTS:
        return "teachers"


def read(place: str | Path) -> Manifest:
    """Read a manifest; every shard's files are digested.

    Raises:
        UnlearningFailed: METHOD_INAPPLICABLE when it is not there, is not one, or a shard is missing or outside the
            folder, where only a list of teachers may have one; DIGEST_MISMATCH when a file of a shard is not the one
            it names.
    """
    folder = Path(place)
    try:
        if not place:
            raise ValueError("no folder")
        value = json.loads((folder / NAME).read_text("utf-8"))
        if value.get("version", VERSION) != VERSION:
            raise ValueError("another version")
        if value.get("base_sha256") and not all(_inside(s["path"]) for s in value["shards"]):
            raise ValueError("a shard elsewhere")
        shards = tuple(_shard(folder, found) for found in value["shards"])
        known = {f.name for f in fields(Manifest)} - {"shards", "recipe", "dropped", _PACE}
        rest = {name: str(value[name]) for name in known & value.keys()}
        recipe = Recipe(**value.get("recipe", {}))
        dropped = frozenset(map(str, value.get("dropped", ())))
        pace = _pace(value.get(_PACE))
        return Manifest(shards, recipe=recipe, dropped=dropped, seconds_per_step=pace, **rest)
    except (*_FAULTS, RequestRejected):
        raise UnlearningFailed(
            Code.METHOD_INAPPLICABLE,
            place=f"the shards of the model, {NAME}",
            remedy="it is missing or not what `train` writes; train shards, or order another method first.",
        ) from None


def _inside(path: str) -> bool:
    """Whether a path cannot lead out of the manifest's folder."""
    return not Path(path).is_absolute() and ".." not in Path(path).parts


def _pace(value: Any) -> float | None:
    """Seconds of a step as the manifest writes them; None where it does not."""
    if value is None:
        return None
    seconds = float(value)
    if not 0 <= seconds < math.inf:
        raise ValueError("no number of seconds")
    return seconds


def _shard(folder: Path, found: Mapping[str, Any]) -> Shard:
    own = folder / str(found["path"])
    documents = tuple(map(_held, found["documents"]))
    named = found.get("files")
    if named is None:  # a teacher: whatever lies there
        return Shard(documents, {f.name: f for f in sorted(own.glob("*")) if f.is_file()})
    shard = Shard(documents, {str(name): own / Path(name).name for name in named})
    if any(not isinstance(file, Path) or not file.is_file() for file in shard.files.values()):
        raise UnlearningFailed(
            Code.METHOD_INAPPLICABLE,
            place=f"the shards of the model, {own.name}",
            remedy="files that the manifest names are missing; restore them.",
        )
    if shard.digests() != dict(named):
        raise UnlearningFailed(
            Code.DIGEST_MISMATCH,
            place=f"the shards of the model, {own.name}",
            remedy="its files are not those that the manifest names; restore them.",
        )
    return shard


def _held(document: Any) -> Held:
    """A document as the manifest writes it, or a bare reference in a list of teachers."""
    if isinstance(document, str):
        return Held(document)
    held = Held(*document)
    label = None if held.label is None else int(held.label)
    return Held(str(held.reference), str(held.tag), int(held.slice), label)


def _folder(number: int) -> str:
    return f"shards/{number}"


def _sha256(file: bytes | Path) -> str:
    if isinstance(file, bytes):
        return hashlib.sha256(file).hexdigest()
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
