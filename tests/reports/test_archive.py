import io
import struct
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import EvidenceInvalid
from reports import archive

FILES = {"a.txt": b"first", "b.txt": b"", "c.txt": bytes(range(256))}
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)


@given(st.dictionaries(names, st.binary(max_size=50), min_size=1, max_size=6))
def test_what_was_packed_is_unpacked_here_and_by_the_standard_library(
    files: dict[str, bytes],
) -> None:
    data = archive.pack(files)
    assert archive.unpack(data, place="e.zip") == files
    with zipfile.ZipFile(io.BytesIO(data)) as theirs:
        assert theirs.testzip() is None
        assert {name: theirs.read(name) for name in theirs.namelist()} == files


def test_the_order_of_the_mapping_does_not_change_the_bytes() -> None:
    assert archive.pack(FILES) == archive.pack(dict(reversed(FILES.items())))


@pytest.mark.parametrize("name", ["../up", "/root", "a/b", "", "é", "a\nb", ".hidden", "x" * 81])
def test_a_name_that_is_no_plain_file_name_is_not_packed(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        archive.pack({name: b""})


@given(st.binary(max_size=400))
def test_noise_is_refused(noise: bytes) -> None:
    with pytest.raises(EvidenceInvalid):
        archive.unpack(noise, place="e.zip")


@given(st.binary(min_size=1, max_size=200), st.sampled_from([b"PK\3\4", b"PK\1\2", b"PK\5\6"]))
def test_noise_between_the_marks_of_a_zip_is_refused(noise: bytes, mark: bytes) -> None:
    data = archive.pack(FILES)
    for changed in (mark + noise, data + noise, noise + data, data[:-22] + noise + data[-22:]):
        with pytest.raises(EvidenceInvalid):
            archive.unpack(changed, place="e.zip")


def test_the_empty_zip_is_refused() -> None:
    with pytest.raises(EvidenceInvalid):
        archive.unpack(archive.pack({}), place="e.zip")


def test_a_comment_behind_the_end_is_refused_as_the_bundles_own_fault() -> None:
    data = archive.pack(FILES)
    changed = data[:-2] + struct.pack("<H", 4) + b"note"
    with pytest.raises(EvidenceInvalid) as caught:
        archive.unpack(changed, place="e.zip")
    assert caught.value.place == "e.zip"


def test_a_zip_of_the_same_files_made_by_another_tool_is_refused() -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as theirs:
        for name, content in FILES.items():
            theirs.writestr(name, content)
    with pytest.raises(EvidenceInvalid):
        archive.unpack(target.getvalue(), place="e.zip")


def test_a_name_unfit_for_a_terminal_is_never_shown() -> None:
    data = archive.pack(FILES).replace(b"b.txt", b"\x1b[2Jx")
    with pytest.raises(EvidenceInvalid) as caught:
        archive.unpack(data, place="e.zip")
    assert "\x1b" not in caught.value.sentence
