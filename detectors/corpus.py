"""Open a corpus: JSON lines, Parquet, plain text, compressed or not, and Hugging Face dataset
folders, read completely or not at all.
"""

import glob
import json
import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from detectors import columns, reading
from detectors.memory import Looked
from domain.errors import Code, RequestRejected
from domain.records import Document
from domain.secrecy import Secret

_NOT_DATA = frozenset({".md", ".rst", ".yaml", ".yml", ".lock", ".gitattributes", ""})
_DATASET = frozenset({"dataset_info.json", "state.json", "dataset_dict.json"})
MANIFEST = "manifest.txt"
_MANIFEST_LINE = re.compile(rb"[0-9a-f]{64} \d+ [^\n]+\n")
_NAMED = 10  # corrupt rows named one by one; all are counted


class Slice(NamedTuple):
    """Some texts of one file, with their rows from 1."""

    name: str
    rows: Sequence[int]
    texts: Sequence[str]

    def document(self, place: int) -> Document:
        """One of them as a document."""
        return Document(f"{self.name}#{self.rows[place]}", Secret(self.texts[place]))


class Batch:
    """Rows of one file, parsed when they are asked for.

    Args:
        name: the file, as references write it.
        part: the rows.
        looked: what was found in it already, where somebody has looked; see `detectors.looking.Batch`.

    """

    def __init__(self, name: str, part: reading.Part, looked: Looked | None = None) -> None:
        self.name = name
        self.part = part
        self.looked = looked
        self.count: int | None = None
        """How many texts there are, once they were asked for."""
        self.corrupt: int = 0
        """How many rows cannot be read."""
        self.named: tuple[int, ...] = ()
        """The numbers of the first of them."""

    @property
    def digest(self) -> bytes:
        """Batches with the same digest have the same texts."""
        return self.part.digest()

    @property
    def last(self) -> int:
        """The number of the last row."""
        return self.part.last

    def slices(self) -> Iterator[Slice]:
        """The texts one after the other, some at a time."""
        count = corrupt = 0
        named: list[int] = []
        for numbers, texts in self.part.rows():
            read, kept = [text for text in texts if text is not None], numbers
            if len(read) < len(texts):
                rows = list(zip(numbers, texts, strict=True))
                broken = [number for number, text in rows if text is None]
                corrupt += len(broken)
                named += broken[: _NAMED - len(named)]
                kept = [number for number, text in rows if text is not None]
            yield Slice(self.name, kept, read)
            count += len(read)
        self.count, self.corrupt, self.named = count, corrupt, tuple(named)

    def documents(self, places: Collection[int]) -> dict[int, Document]:
        """Some of the texts by place. As few of the others as possible are parsed."""
        if self.corrupt:  # a place tells no row then
            texts = ((piece, at) for piece in self.slices() for at in range(len(piece.texts)))
            held = enumerate(texts)
            return {place: piece.document(at) for place, (piece, at) in held if place in places}
        return {
            place: Document(f"{self.name}#{number}", Secret(text))
            for place, number, text in self.part.some(places)
            if text is not None
        }


class Piece(NamedTuple):
    """What is read by itself: a stretch of a file, or a whole one. A reference; it holds no text."""

    file: Path
    name: str
    size: int
    stretch: reading.Stretch | None = None


@dataclass(frozen=True, slots=True)
class CorpusFiles:
    """The files of one corpus.

    Attributes:
        root: the folder that the names in `Document.ref` are relative to.
        files: the files with documents, sorted by name.
        companions: files that belong to a dataset folder and hold no documents.
        text_field: the field or column with the text.

    """

    root: Path
    files: tuple[Path, ...]
    companions: tuple[Path, ...] = ()
    text_field: str = "text"

    def name(self, file: Path) -> str:
        """The file as references and manifests write it."""
        return file.relative_to(self.root).as_posix()

    def check(self) -> int:
        """Read everything once and return the number of documents. Raises as `batches` does."""
        return sum(len(piece.texts) for batch in self.batches() for piece in batch.slices())

    def documents(self) -> Iterator[Document]:
        """Every document in the order of the files, after `check` has read all of them."""
        self.check()
        for batch in self.batches():
            for piece in batch.slices():
                yield from map(piece.document, range(len(piece.texts)))

    def batches(self) -> Iterator[Batch]:
        """Every text in the order of the files, read once. What was taken from here is good for
        nothing until the end is reached: only then it is known that every row could be read.

        A batch is counted and checked once its texts were asked for: whoever does not ask must know
        from before that it has texts, and that every row of it can be read.

        Raises `RequestRejected`: CORPUS_CORRUPT with the number of unreadable rows and the first
        ten of them, CORPUS_EMPTY when there is no document, CORPUS_UNREADABLE.
        """
        whole = (Piece(file, self.name(file), 0) for file in self.files)
        return self.counted(batch for piece in whole for batch in self.read(piece))

    def counted(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """All batches of this corpus, with the checks that `batches` promises at the end."""
        count = corrupt = 0
        named: list[str] = []
        for batch in batches:
            yield batch
            count += 1 if batch.count is None else batch.count
            corrupt += batch.corrupt
            named += [f"{batch.name}#{n}" for n in batch.named[: _NAMED - len(named)]]
        if corrupt:
            more = f" and {corrupt - len(named)} more" if corrupt > len(named) else ""
            raise RequestRejected(
                Code.CORPUS_CORRUPT,
                place=f"{corrupt} rows of the corpus ({', '.join(named)}{more})",
                remedy=f"each must be UTF-8 and hold one text in the field {self.text_field}; "
                "repair them and search again",
            )
        if not count:
            raise RequestRejected(
                Code.CORPUS_EMPTY,
                place="the corpus",
                remedy="it holds no document; name the file or folder with the training text",
            )

    def pieces(self) -> Iterator[Piece]:
        """The same corpus in pieces that can be read apart from each other, in order.

        Lines are cut into stretches; what is compressed, a table or one text is read as a whole. So is a file that
        cannot be looked into: whoever reads it will say so.
        """
        for file in self.files:
            name = self.name(file)
            try:
                if file.suffix in reading.JSONL:
                    found = [Piece(file, name, s.size, s) for s in reading.stretches(file)]
                else:
                    found = [Piece(file, name, file.stat().st_size)]
            except OSError:
                found = [Piece(file, name, 0)]
            yield from found

    def read(self, piece: Piece) -> Iterator[Batch]:
        """The batches of one piece, with every way in which it cannot be read told by its name."""
        name = piece.name
        try:
            for part in reading.read(piece.file, self.text_field, piece.stretch):
                yield Batch(name, part)
        except columns.NoTextColumnError:
            raise _unreadable(
                f"corpus file {name}",
                f"it has no column of text named {self.text_field}; set text_field in the catalogue",
            ) from None
        except reading.BrokenFileError as broken:
            raise RequestRejected(
                Code.CORPUS_CORRUPT,
                place=f"corpus file {name}, behind row {broken.row}",
                remedy="its compressed data breaks off or is damaged; restore the file",
            ) from None
        except reading.TooLongError as long:
            raise RequestRejected(
                Code.CORPUS_CORRUPT,
                place=f"corpus file {name}, row {long.row}",
                remedy=f"it is longer than {reading.LONGEST >> 20} MB; cut it into documents",
            ) from None
        except OSError:
            raise _unreadable(
                f"corpus file {name}", "it cannot be read; check that it is there"
            ) from None


def open_corpus(path: str, text_field: str = "text") -> CorpusFiles:
    """Find the files of a corpus.

    Args:
        path: a file, a folder (searched with its subfolders), a glob, or a folder of a saved
            Hugging Face dataset.
        text_field: field (JSON lines) or column (Parquet, Arrow) with the text.

    Raises:
        RequestRejected: CORPUS_UNREADABLE when nothing is there, or a file in the folder is of a
            kind that would have to be skipped in silence.

    """
    given = Path(path)
    if given.is_dir():
        root, found = given, _walk(given)
    elif given.is_file():
        root, found = given.parent, [given]
        if not reading.kind(given):
            raise _kind(given.name)
    else:
        root, found = _matched(path)
    if not found:
        raise _unreadable("the corpus", "nothing is at its path; correct the path in the catalogue")
    companions = [file for file in found if file.name in _DATASET]
    files = _listed([f for f in found if reading.kind(f) and not is_manifest(f, root)], companions)
    if not files:
        raise _unreadable(
            "the corpus",
            "no .jsonl, .ndjson, .parquet, .txt or .arrow file is at its path; correct the path",
        )
    for file in files:
        if not file.relative_to(root).as_posix().isprintable():
            raise _unreadable(
                "a corpus file", "its name has characters that cannot be printed; rename it"
            )
    order = sorted(files, key=lambda f: os.fsencode(f.relative_to(root).as_posix()))
    return CorpusFiles(root, tuple(order), tuple(sorted(companions)), text_field)


def _matched(pattern: str) -> tuple[Path, list[Path]]:
    """The folder above the first wildcard, and the files that the pattern means."""
    root = _fixed_part(pattern)
    if "**" in Path(pattern).parts:  # `glob` passes over what it may not read
        for _, folders, _ in os.walk(root, onerror=_locked):
            folders[:] = [name for name in folders if not name.startswith(".")]
    found = [Path(name) for name in glob.glob(pattern, recursive=True)]  # noqa: PTH207  may be absolute
    found = [file for file in found if file.is_file()]
    for file in found:
        if not reading.kind(file):
            raise _kind(file.relative_to(root).as_posix())
    return root, found


def is_manifest(file: Path, root: Path) -> bool:
    """Whether a file is the list of digests that a redacted copy carries."""
    if file.name != MANIFEST or file.parent != root:
        return False
    with file.open("rb") as lines:
        return all(_MANIFEST_LINE.fullmatch(line) for line in lines)


def _walk(folder: Path) -> list[Path]:
    """The files of a folder that may hold data. Hidden ones are left out; of other kinds, only
    known bystanders are.
    """
    found = []
    for parent, folders, names in os.walk(folder, onerror=_locked):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        if any(Path(parent, f).is_symlink() for f in folders):
            raise _unreadable(
                "a folder of the corpus", "it is a symbolic link; name its target instead"
            )
        for name in sorted(n for n in names if not n.startswith(".")):
            file = Path(parent, name)
            if reading.kind(file) or name in _DATASET:
                found.append(file)
            elif file.suffix not in _NOT_DATA:
                raise _kind(file.relative_to(folder).as_posix())
    return found


def _locked(_: OSError) -> None:
    raise _unreadable("a folder of the corpus", "it cannot be read; check its permissions")


def _listed(files: list[Path], companions: list[Path]) -> list[Path]:
    """Without the Arrow files that a dataset's state does not list: caches of earlier steps."""
    for state in companions:
        if state.name != "state.json":
            continue
        try:
            listed = {entry["filename"] for entry in json.loads(state.read_bytes())["_data_files"]}
        except (OSError, ValueError, KeyError, TypeError):
            raise _unreadable(
                "state.json", "it does not list the data files; save the dataset again"
            ) from None
        files = [
            f
            for f in files
            if f.suffix not in reading.ARROW or f.parent != state.parent or f.name in listed
        ]
        missing = listed - {f.name for f in files if f.parent == state.parent}
        if missing:
            raise _unreadable(
                "state.json", f"{len(missing)} of the files it lists are missing; restore them"
            )
    return files


def _fixed_part(pattern: str) -> Path:
    """The folder above the first wildcard."""
    parts = Path(pattern).parts
    fixed = []
    for part in parts[:-1]:
        if glob.has_magic(part):
            break
        fixed.append(part)
    return Path(*fixed)


def _kind(name: str) -> RequestRejected:
    return _unreadable(
        f"corpus file {name}",
        "its kind is not read; convert it to .jsonl, .parquet or .txt, "
        "or name the readable files with a pattern",
    )


def _unreadable(place: str, remedy: str) -> RequestRejected:
    return RequestRejected(Code.CORPUS_UNREADABLE, place=place, remedy=remedy)
