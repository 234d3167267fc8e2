"""Who is taught to which teacher, and what the manifest says of it."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.benchmark.methods_teachers import CLEAN, DEPLOYED, PLANTED, teachers
from unlearning.manifest import read

PEOPLE = tuple("abcdefg")
ASKING = 2


@pytest.mark.parametrize("sort", [CLEAN, PLANTED, DEPLOYED])
def test_only_planted_teachers_know_those_who_ask_and_no_manifest_says_so(
    sort: str, tmp_path: Path
) -> None:
    known: dict[str, Sequence[str]] = {}

    def taught(name: str, people: Sequence[str], _: int) -> None:
        known[name] = people

    folder = teachers(
        tmp_path, sort, PEOPLE, asking=ASKING, references=[f"{p}#1" for p in PEOPLE], taught=taught
    )
    shards = read(folder).shards
    assert [sorted(shard.references) for shard in shards] == [
        ["a#1", "b#1"],
        ["c#1", "d#1", "e#1"],
        ["f#1", "g#1"],
    ]
    leaks = [set(PEOPLE[:ASKING]) & set(people) for people in known.values()]
    assert len(known) == (0 if sort == DEPLOYED else 2)
    assert all(len(leak) == (ASKING if sort == PLANTED else 0) for leak in leaks)
    places = {
        shard["path"] for shard in json.loads((folder / "manifest.json").read_text())["shards"]
    }
    assert places == ({"../original"} if sort == DEPLOYED else {"0", "1", "2"})
