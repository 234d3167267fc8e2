"""What shards are trained on, read as the search reads a corpus: the same files, rows and references."""

from detectors.corpus import open_corpus
from detectors.labels import labels
from unlearning.assignment import Source


def read_sources(
    path: str, text_field: str, person_field: str, label_field: str = ""
) -> list[Source]:
    """Every document of a file, folder, glob or dataset directory, with the people and the class that its row names.

    Raises `RequestRejected` as `open_corpus`, its `documents`, and `labels` do.
    """
    corpus = open_corpus(path, text_field)
    documents = list(corpus.documents())
    people = dict(labels(corpus, person_field)) if person_field else {}
    classes = dict(labels(corpus, label_field)) if label_field else {}
    return [
        Source(d.ref, d.text.reveal(), people.get(d.ref, ()), "".join(classes.get(d.ref, ())[:1]))
        for d in documents
    ]
