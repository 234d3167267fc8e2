"""What findings depend on besides the text: this code, its libraries, and the detectors' options and
models.
"""

import hashlib
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from detectors.protocol import Detector
from domain.records import Subject

_OURS = (Path(__file__).parent, Path(__file__).parents[1] / "domain")
_LIBRARIES = (
    "hyperscan",
    "orjson",
    "phonenumbers",
    "presidio-analyzer",
    "pyarrow",
    "python-dateutil",
    "rapidfuzz",
    "spacy",
    "tldextract",
)
_MODELS = ("model", "reference", "memorising")
"""The knobs by which detectors name a model."""


def bases(
    detectors: Mapping[str, Detector], subjects: Sequence[Subject], text_field: str
) -> list[str]:
    """SHA-256 over all of it for each subject, as hex: where it is the same, the same texts have the
    same findings.

    It is made from identifiers: keep it as secret as them.
    """
    shared = made_with(detectors, text_field)
    return [_digest([shared, *_identifiers(subject)]).hex() for subject in subjects]


def made_with(detectors: Mapping[str, Detector], text_field: str) -> bytes:
    """SHA-256 over all of it but the subject: nobody's data is in it."""
    return _digest(_shared(detectors, text_field))


def _digest(parts: Iterable[bytes]) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()


def _identifiers(subject: Subject) -> Iterator[bytes]:
    for identifier in subject.identifiers:
        yield identifier.kind.value.encode()
        yield identifier.value.reveal().encode("utf-8", "surrogatepass")


def _shared(detectors: Mapping[str, Detector], text_field: str) -> Iterator[bytes]:
    yield f"{sys.version} {unicodedata.unidata_version} {text_field}".encode()
    for name in _LIBRARIES:
        yield f"{name} {version(name)}".encode()
    for folder in _OURS:
        yield from _files(folder)
    for name, detector in detectors.items():
        yield f"{name} {detector!r}".encode()  # a frozen dataclass shows its options
        for knob in _MODELS:
            yield from _model(getattr(detector, knob, ""))


def _model(model: str) -> Iterator[bytes]:
    """The files of a pipeline on the disk, or the version of an installed one."""
    if model and Path(model).is_dir():
        yield from _files(Path(model))
        return
    try:
        yield version(model).encode() if model else b""
    except PackageNotFoundError:
        yield b""  # the embedded one, which lies among our own files


def _files(folder: Path) -> Iterator[bytes]:
    for file in sorted(folder.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            yield file.relative_to(folder).as_posix().encode("utf-8", "surrogateescape")
            with file.open("rb") as stream:
                yield hashlib.file_digest(stream, "sha256").digest()
