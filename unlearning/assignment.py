"""Who is in which shard: people by keyed hash, and whatever ties their documents together goes with them.

Documents of one person, joint documents of several, and near-duplicates end in one shard, and in one slice of it: a
person is in one place only. Where a cluster goes depends on the key and its members, never on other people. When
somebody is erased, those who were tied to them stay where they are.
"""

import hashlib
import hmac
import os
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from domain.errors import Code, RequestRejected, Unavailable
from unlearning.near import near_duplicates

_BYTES = 32


@dataclass(frozen=True)
class Source:
    """A document that is to be trained on: where it stands, what it says, and whom it is about.

    `people` are labels of any kind; with none of them the document is its own "person". A classifier learns the class
    of the text, by its name or number.
    """

    reference: str
    text: str
    people: Collection[str] = ()
    label: str = ""


@dataclass(frozen=True, repr=False)
class Key:
    """A secret of 32 bytes: without it neither shard nor document can be worked out from a name or a text."""

    value: bytes

    @property
    def id(self) -> str:
        """What a manifest may say of the key."""
        return hashlib.sha256(b"lethe shard key" + self.value).hexdigest()[:16]

    def of(self, what: str, text: str) -> str:
        """HMAC-SHA256 in hex, by purpose."""
        message = f"{what}\0{text}".encode("utf-8", "surrogatepass")
        return hmac.new(self.value, message, hashlib.sha256).hexdigest()

    def tag(self, text: str) -> str:
        """What a manifest says of a document's text: enough to know it again, nothing to guess it from."""
        return self.of("document", text)[:32]


def create_key(path: Path) -> Key:
    """Make a key, readable by its owner only. Raises `RequestRejected` (KEY_EXISTS), `Unavailable`."""
    value = secrets.token_bytes(_BYTES)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(value.hex() + "\n")
    except FileExistsError:
        raise RequestRejected(
            Code.KEY_EXISTS, place=str(path), remedy="it exists and is never overwritten."
        ) from None
    except OSError:
        raise Unavailable(
            Code.DISK, place=str(path), remedy="the key could not be written; check the disk."
        ) from None
    return Key(value)


def load_key(path: Path) -> Key:
    """Read a key. Raises `RequestRejected`: KEY_MISSING, KEY_UNSAFE, KEY_UNREADABLE."""
    if not path.is_file():
        raise RequestRejected(
            Code.KEY_MISSING, place=str(path), remedy="there is no shard key here; restore it."
        )
    if path.stat().st_mode & 0o077:
        raise RequestRejected(
            Code.KEY_UNSAFE,
            place=str(path),
            remedy=f"group or others may read the shard key; run: chmod 600 {path}",
        )
    try:
        value = bytes.fromhex(path.read_text("ascii").strip())
    except (OSError, ValueError):
        value = b""
    if len(value) != _BYTES:
        raise RequestRejected(
            Code.KEY_UNREADABLE,
            place=str(path),
            remedy="it is not a shard key (64 hex digits); restore it from its backup.",
        )
    return Key(value)


def clusters(sources: Sequence[Source], key: Key, near: float) -> list[str]:
    """The cluster of each document, named by the least keyed hash among its members' people.

    Args:
        sources: the documents.
        key: the secret.
        near: Jaccard index from which two texts are near-duplicates; above 1 only people tie documents, and having
            the same runs of words.
    """
    above = list(range(len(sources)))

    def root(place: int) -> int:
        while above[place] != place:
            above[place] = above[above[place]]
            place = above[place]
        return place

    names = [
        sorted(key.of("person", label) for label in source.people) or [key.of("alone", source.text)]
        for source in sources
    ]
    first: dict[str, int] = {}
    for place, own in enumerate(names):
        for name in own:
            above[root(place)] = root(first.setdefault(name, place))
    for one, other in near_duplicates([source.text for source in sources], near):
        above[root(other)] = root(one)
    least: dict[int, str] = {}
    for place, own in enumerate(names):
        here = root(place)
        least[here] = min(own[0], least.get(here, own[0]))
    return [least[root(place)] for place in range(len(sources))]


def place(cluster: str, key: Key, shards: int, slices: int) -> tuple[int, int]:
    """Shard and slice, from 0, of a cluster."""
    return (
        int(key.of("shard", cluster), 16) % shards,
        int(key.of("slice", cluster), 16) % slices,
    )
