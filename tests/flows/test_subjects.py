"""What a model is trained on again is the newest redacted copy; the original, where nobody was erased from it."""

from types import SimpleNamespace

from flows.bench import Paths
from flows.catalog import load_catalog
from flows.copies import Copies
from flows.subjects import redacted_texts


def test_the_text_to_train_again_is_that_of_the_redacted_copy(lethe_home):
    paths = Paths(lethe_home / "home", "er-0000000000000000")
    stores = SimpleNamespace(catalog=load_catalog(lethe_home / "catalog.yaml"))
    bench = SimpleNamespace(stores=stores, paths=paths)
    assert list(redacted_texts(bench, "both")) == ["The harbour was quiet.\n"] * 2
    copies = Copies(paths.redacted("archive"))
    copy = copies.free(paths.ref)
    copy.mkdir()
    (copy / "letters.txt").write_text("The [erased] was quiet.\n")
    copies.switch(copy)
    assert list(redacted_texts(bench, "both")) == [
        "The harbour was quiet.\n",
        "The [erased] was quiet.\n",
    ]
