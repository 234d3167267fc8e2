"""Which corpora and models exist, and which model was trained on which corpus."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from domain.errors import Code, RequestRejected
from flows.reading import Strict, read_yaml, validated

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
"""A name that may stand in logs, folders and evidence; it must say nothing about a person."""


class CorpusEntry(Strict):
    """A file, folder, glob or Hugging Face dataset directory.

    Attributes:
        text_field: the field or column with the text.
        answer_after: for seq2seq models, the words in the text behind which the answer begins; what stands before it
            is what the encoder reads. A text without them is cut at its first secret.
        label_field: for classifiers, the field with the name of the text's class, as the model's configuration has
            it, or its number, either as text.
    """

    path: str = Field(min_length=1)
    text_field: str = "text"
    answer_after: str = ""
    label_field: str = ""


class ModelEntry(Strict):
    """A Hugging Face model directory and the corpora it was trained on.

    Attributes:
        shards: folder of the manifest of what it was made of, for `sisa` and `loo_ensemble`; or of teachers, for the
            latter. A model that an erasure has promoted has its own beside it, which goes first.
        references: models of the same kind that were trained on none of these corpora, for attacks that compare.
    """

    path: Path
    corpora: tuple[Name, ...] = Field(min_length=1)
    shards: Path | None = None
    references: tuple[Path, ...] = ()


class Catalog(Strict):
    """All of them, by name. Paths are absolute."""

    corpora: dict[Name, CorpusEntry] = Field(min_length=1)
    models: dict[Name, ModelEntry] = Field(default_factory=dict)

    def corpus(self, name: str) -> CorpusEntry:
        """Raises `RequestRejected` (CORPUS_UNKNOWN)."""
        if name not in self.corpora:
            raise _unknown(Code.CORPUS_UNKNOWN, "scope.corpora", "corpus", tuple(self.corpora))
        return self.corpora[name]

    def model(self, name: str) -> ModelEntry:
        """Raises `RequestRejected` (MODEL_UNKNOWN)."""
        if name not in self.models:
            raise _unknown(Code.MODEL_UNKNOWN, "scope.models", "model", tuple(self.models))
        return self.models[name]


def load_catalog(path: Path) -> Catalog:
    """Read catalog.yaml; relative paths are taken from its own folder. Raises `RequestRejected` (CATALOG_INVALID)."""
    value = read_yaml(path, Code.CATALOG_INVALID, setting="LETHE_CATALOG")
    catalog = validated(Catalog, value, name=path.name, code=Code.CATALOG_INVALID)
    for name, model in catalog.models.items():
        for corpus in model.corpora:
            if corpus not in catalog.corpora:
                raise RequestRejected(
                    Code.CATALOG_INVALID,
                    place=f"{path.name}, models.{name}.corpora",
                    remedy=f"corpus {corpus} is not listed under corpora; add it there.",
                )
    base = path.parent
    return Catalog(
        corpora={
            name: entry.model_copy(update={"path": str(base / Path(entry.path).expanduser())})
            for name, entry in catalog.corpora.items()
        },
        models={
            name: entry.model_copy(
                update={
                    "path": (base / entry.path.expanduser()).resolve(),
                    "shards": (base / entry.shards.expanduser()).resolve()
                    if entry.shards
                    else None,
                    "references": tuple(
                        (base / r.expanduser()).resolve() for r in entry.references
                    ),
                }
            )
            for name, entry in catalog.models.items()
        },
    )


def _unknown(code: Code, field: str, noun: str, known: tuple[str, ...]) -> RequestRejected:
    listed = ", ".join(sorted(known)) or "none"
    return RequestRejected(
        code,
        place=field,
        remedy=f"it names a {noun} that the catalog does not have; known: {listed}.",
    )
