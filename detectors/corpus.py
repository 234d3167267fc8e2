"""Open a corpus: JSON lines, Parquet, plain text and Hugging Face dataset folders, read completely
or not at all.
"""

import glob
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from detectors import columns
from detectors.jsonl import NotARowError, read_text
from domain.errors import Code, RequestRejected
from domain.records import Document
from domain.secrecy import Secret

JSONL = frozenset({".jsonl", ".ndjson"})
ARROW = frozenset({".arrow"})
SUFFIXES = JSONL | ARROW | {".parquet", ".txt"}
_NOT_DATA = frozenset({".md", ".rst", ".yaml", ".yml", ".lock", ".gitattributes", ""})
_DATASET = frozenset({"dataset_info.json", "state.json", "dataset_dict.json"})
MANIFEST = "manifest.txt"
_MANIFEST_LINE = re.compile(rb"[0-9a-f]{64} \d+ [^\n]+\n")
_NAMED = 10  # corrupt rows named one by one; all are counted


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
        """Read everything once and return the number of documents.

        Raises `RequestRejected`: CORPUS_CORRUPT with the number of unreadable rows and the first
        ten of them, or CORPUS_EMPTY when there is no document.
        """
        count = corrupt = 0
        named: list[str] = []
        for ref, text in self._rows():
            if text is None:
                corrupt += 1
                named += [ref] if len(named) < _NAMED else []
            else:
                count += 1
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
        return count

    def documents(self) -> Iterator[Document]:
        """Every document in the order of the files, after `check` has read all of them."""
        self.check()
        for ref, text in self._rows():
            yield Document(ref, Secret(text or ""))

    def _rows(self) -> Iterator[tuple[str, str | None]]:
        """Reference and text of each row; None for a row that cannot be read."""
        for file in self.files:
            name = self.name(file)
            try:
                for row, text in rows(file, self.text_field):
                    yield f"{name}#{row}", text
            except columns.NoTextColumnError:
                raise RequestRejected(
                    Code.CORPUS_UNREADABLE,
                    place=f"corpus file {name}",
                    remedy=f"it has no column of text named {self.text_field}; "
                    "set text_field in the catalogue",
                ) from None
            except columns.ArrowBrokenError:
                yield f"{name}#1", None
            except OSError:
                raise _unreadable(
                    f"corpus file {name}", "it cannot be read; check that it is there"
                ) from None


def rows(file: Path, field: str) -> Iterator[tuple[int, str | None]]:
    """Row from 1 and text of one file; None for a row that cannot be read. A null text is an empty
    one.
    """
    if file.suffix in JSONL:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield number, _read_line(line, field)
    elif file.suffix == ".txt":
        try:
            yield 1, file.read_bytes().decode("utf-8")
        except UnicodeDecodeError:
            yield 1, None
    else:
        for number, text in columns.texts(file, field):
            yield number, text or ""


def decode(line: bytes) -> str:
    """A line as text; a byte order mark before the first one stays with it and does not disturb the
    parser.
    """
    return line.decode("utf-8")


def _read_line(line: bytes, field: str) -> str | None:
    try:
        return read_text(decode(line).removeprefix("\ufeff"), field)
    except (UnicodeDecodeError, NotARowError):
        return None


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
        if given.suffix not in SUFFIXES:
            raise _kind(given.name)
    else:
        root = _fixed_part(path)
        found = [Path(name) for name in glob.glob(path, recursive=True)]  # noqa: PTH207  may be absolute
        found = [file for file in found if file.is_file()]
        for file in found:
            if file.suffix not in SUFFIXES:
                raise _kind(file.relative_to(root).as_posix())
    if not found:
        raise _unreadable("the corpus", "nothing is at its path; correct the path in the catalogue")
    companions = [file for file in found if file.name in _DATASET]
    files = _listed(
        [f for f in found if f.suffix in SUFFIXES and not is_manifest(f, root)], companions
    )
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
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        if any(Path(parent, f).is_symlink() for f in folders):
            raise _unreadable(
                "a folder of the corpus", "it is a symbolic link; name its target instead"
            )
        for name in sorted(n for n in names if not n.startswith(".")):
            file = Path(parent, name)
            if file.suffix in SUFFIXES or name in _DATASET:
                found.append(file)
            elif file.suffix not in _NOT_DATA:
                raise _kind(file.relative_to(folder).as_posix())
    return found


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
            if f.suffix not in ARROW or f.parent != state.parent or f.name in listed
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
