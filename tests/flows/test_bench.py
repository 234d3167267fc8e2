"""Where the files of a request lie."""

from pathlib import Path

from flows.bench import Paths


def test_only_what_an_erasure_made_is_taken_for_its_own(tmp_path: Path) -> None:
    """A sharded model that the controller keeps in the home is named by the catalog, and never removed."""
    paths, named = Paths(tmp_path, "er-1"), tmp_path / "elsewhere"
    kept, made = tmp_path / "models" / "run" / "model", paths.candidate("m", 1, "sisa") / "model"
    for model in (kept, made):
        model.mkdir(parents=True)
        (model.parent / "manifest.json").write_text("{}")
    assert paths.shards(kept, None) is None
    assert paths.shards(kept, named) == named
    assert paths.shards(made, named) == made.parent
