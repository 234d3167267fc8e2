"""Redacted copies follow each other; the newest is what `current` shows, and the older ones are gone."""

import pytest

from domain.errors import RequestRejected
from flows.copies import Copies, require_same_shape

ONE, TWO = "er-0000000000000001", "er-0000000000000002"


def write(copies, ref):
    out = copies.free(ref)
    out.mkdir()
    (out / "text").write_text(ref)
    return out


def test_the_newest_copy_replaces_the_older_ones(tmp_path):
    copies = Copies(tmp_path / "letters")
    assert copies.current() is None
    for ref in (ONE, TWO):
        copies.switch(write(copies, ref))
        assert copies.current() == tmp_path / "letters" / ref
    assert sorted(p.name for p in copies.folder.iterdir()) == ["current", TWO]
    assert (copies.folder / "current" / "text").read_text() == TWO


def test_a_second_copy_of_one_request_does_not_stand_on_the_first(tmp_path):
    copies = Copies(tmp_path / "letters")
    copies.switch(write(copies, ONE))
    assert copies.free(ONE).name == f"{ONE}-2"
    copies.switch(write(copies, ONE))
    assert copies.current().name == f"{ONE}-2"


def test_what_a_stopped_run_left_is_in_nobodys_way(tmp_path):
    copies = Copies(tmp_path / "letters")
    left = write(copies, ONE)
    assert copies.free(ONE) == left
    assert not left.exists()


def test_a_corpus_that_grew_since_its_last_copy_is_refused():
    require_same_shape("letters", (3, {"a"}), (3, {"a"}))
    with pytest.raises(RequestRejected, match="corpus_corrupt"):
        require_same_shape("letters", (4, {"a"}), (3, {"a"}))
