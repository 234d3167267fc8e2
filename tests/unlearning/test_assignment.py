"""A person is in one place only, wherever their documents stand and whoever else is in them."""

import time
from itertools import combinations
from pathlib import Path

import pytest

from domain.errors import Code, RequestRejected
from unlearning.assignment import Key, Source, clusters, create_key, load_key, place
from unlearning.near import near_duplicates

KEY = Key(b"a" * 32)
NEAR = 0.7


def jaccard(one: str, other: str) -> float:
    """Of sets of runs of three words, counted plainly."""
    sets = [
        {tuple(words[n : n + 3]) for n in range(max(1, len(words) - 2))}
        for words in (one.split(), other.split())
    ]
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def texts() -> list[str]:
    """Sixty texts, of which every third is one before it with a few words changed."""
    made: list[str] = []
    for n in range(60):
        if n % 3 == 2:
            words = made[n - 1].split()
            for at in range(n % 7):
                words[(5 * at) % len(words)] = f"changed{n}x{at}"
            made.append(" ".join(words))
        else:
            made.append(" ".join(f"w{(n * 31 + i * i) % 97}" for i in range(30)))
    return made


@pytest.mark.parametrize("near", [0.2, NEAR, 1.0])
def test_near_duplicates_are_those_that_a_plain_count_finds(near: float) -> None:
    found = set(near_duplicates(texts(), near))
    plain = {
        (i, j)
        for (i, one), (j, other) in combinations(enumerate(texts()), 2)
        if jaccard(one, other) >= near
    }
    assert plain
    assert found == plain


def test_texts_that_have_only_a_form_in_common_are_not_compared_one_by_one() -> None:
    form = "dear support my order has not arrived and I would like to know when it will be here "
    alike = [form + " ".join(f"w{n}x{i}" for i in range(12)) for n in range(5000)]
    began = time.process_time()
    assert not list(near_duplicates(alike, NEAR))
    assert time.process_time() - began < 10  # it was minutes with all pairs, and gigabytes


def test_the_same_words_are_near_however_they_are_written() -> None:
    same = ["Call Ann at noon.", "call ann, at NOON", "Nobody was there at all."]
    assert list(near_duplicates(same, NEAR)) == [(0, 1)]


def test_documents_of_one_person_joint_ones_and_near_duplicates_are_one_cluster() -> None:
    sources = [
        Source("a#1", "Ann has a dog.", ("ann",)),
        Source("a#2", "Completely other words here.", ("ann",)),
        Source("a#3", "Ann and Bob met at the lake in spring.", ("ann", "bob")),
        Source("a#4", "Bob paints boats.", ("bob",)),
        Source("a#5", "The lake was frozen when the long winter came to the north."),
        Source("a#6", "the lake was frozen when the long winter came to the north"),
        Source("a#7", "Nothing to do with anybody."),
    ]
    found = clusters(sources, KEY, NEAR)
    assert len(set(found[:4])) == 1
    assert found[4] == found[5]
    assert len(set(found)) == 3


def test_where_somebody_goes_depends_on_the_key_and_on_nobody_else() -> None:
    sources = [
        Source(f"a#{n}", f"text {n} of its own words {n * n}", (f"p{n}",)) for n in range(40)
    ]
    whole = dict(zip((s.reference for s in sources), clusters(sources, KEY, NEAR), strict=True))
    part = sources[7:30]
    assert clusters(part, KEY, NEAR) == [whole[s.reference] for s in part]
    places = [place(c, KEY, 8, 3) for c in whole.values()]
    others = [place(c, Key(b"b" * 32), 8, 3) for c in whole.values()]
    assert places != others
    assert {shard for shard, _ in places} == set(range(8))
    assert {part for _, part in places} == set(range(3))


def test_a_key_is_made_once_and_kept_from_others(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "shard-key"
    key = create_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_key(path) == key
    assert key.value.hex() not in repr(key) + key.id
    with pytest.raises(RequestRejected) as found:
        create_key(path)
    assert found.value.code is Code.KEY_EXISTS
    path.chmod(0o640)
    with pytest.raises(RequestRejected) as found:
        load_key(path)
    assert found.value.code is Code.KEY_UNSAFE
    path.write_text("abc")
    path.chmod(0o600)
    with pytest.raises(RequestRejected) as found:
        load_key(path)
    assert found.value.code is Code.KEY_UNREADABLE
    with pytest.raises(RequestRejected) as found:
        load_key(tmp_path / "nothing")
    assert found.value.code is Code.KEY_MISSING
