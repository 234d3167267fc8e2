import zipfile
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from domain.errors import Code, EvidenceInvalid, Unavailable
from domain.secrecy import Secret
from reports import bundle
from tests.reports import cases
from tests.reports.conftest import envelopes, evidence

Key = ec.EllipticCurvePrivateKey


def test_a_bundle_holds_the_files_its_reader_expects(files: Mapping[str, bytes]) -> None:
    stems = ("completion", "policy-commitment", "verification-001", "verification-002")
    expected = {f"{stem}{end}" for stem in stems for end in (".dsse.json", ".pae", ".sig")}
    assert set(files) == expected | {"README.txt", "public.pem", "report.html"}


def test_the_same_case_and_key_give_the_same_zip(tmp_path: Path, key: Key) -> None:
    again = bundle.assemble(cases.FULFILLED, envelopes(cases.FULFILLED, key), key, forbidden=())
    digests = {
        bundle.write(tmp_path / "a.zip", evidence(cases.FULFILLED, key)),
        bundle.write(tmp_path / "b.zip", again),
    }
    assert digests == {sha256((tmp_path / "a.zip").read_bytes()).hexdigest()}


def test_the_standard_library_unpacks_it(zipped: Path, files: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(zipped) as theirs:
        assert {name: theirs.read(name) for name in theirs.namelist()} == files


@pytest.mark.parametrize("case", cases.ALL.values(), ids=cases.ALL)
def test_every_kind_of_case_can_be_assembled(case: cases.CaseFile, key: Key) -> None:
    assert "completion.sig" in evidence(case, key)


def test_a_model_named_after_the_person_stops_the_signature(key: Key) -> None:
    case = cases.case(models=(replace(cases.model(), name="zelda-quirk"),))
    with pytest.raises(EvidenceInvalid) as caught:
        bundle.assemble(case, {}, key, forbidden=[Secret("Zelda Quirk")])
    assert caught.value.code is Code.PERSONAL_DATA_IN_EVIDENCE
    assert caught.value.place == "report.html"


def test_the_earlier_envelopes_are_searched_as_well(key: Key) -> None:
    case = cases.case(request_ref="zelda-quirk")
    earlier = envelopes(case, key)
    with pytest.raises(EvidenceInvalid) as caught:
        bundle.assemble(
            replace(case, request_ref="r"), earlier, key, forbidden=[Secret("Zelda Quirk")]
        )
    assert caught.value.place == "policy-commitment.pae"


def test_a_person_whose_name_is_a_word_of_the_report_can_still_be_erased(key: Key) -> None:
    names = [Secret(name) for name in ("Mark", "Person", "Will", "Grace", "1024")]
    case = cases.FULFILLED
    assert bundle.assemble(case, envelopes(case, key), key, forbidden=names)


def test_an_envelope_of_another_key_is_not_bundled(key: Key, stranger: Key) -> None:
    with pytest.raises(EvidenceInvalid):
        bundle.assemble(cases.FULFILLED, envelopes(cases.FULFILLED, stranger), key, forbidden=())


def test_an_envelope_of_an_unknown_name_is_refused(key: Key) -> None:
    with pytest.raises(ValueError, match="verification-NNN"):
        bundle.assemble(cases.NO_MATCH, {"../../etc": b""}, key, forbidden=())


def test_a_disk_that_refuses_leaves_nothing_behind(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    with pytest.raises(Unavailable) as caught:
        bundle.write(taken, {"a": b"1"})
    assert caught.value.code is Code.DISK
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]


def test_an_older_bundle_is_replaced_whole(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "e.zip"
    bundle.write(out, {"a": b"1"})
    bundle.write(out, {"a": b"2"})
    assert zipfile.ZipFile(out).read("a") == b"2"
