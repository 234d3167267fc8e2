import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from zlib import crc32

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from domain.errors import Code, ErasureError, EvidenceInvalid, RequestRejected
from domain.outcomes import CaseFile, Outcome
from reports import archive, bundle, canonical, dsse, keys, verify
from tests.reports import cases
from tests.reports.conftest import envelopes, evidence

Key = ec.EllipticCurvePrivateKey
Files = Mapping[str, bytes]


def doubt(tmp_path: Path, content: bytes | Files, pinned: bytes | None = None) -> ErasureError:
    """The error that these bytes, or the canonical zip of these files, are refused with."""
    path = tmp_path / "evidence.zip"
    path.write_bytes(content if isinstance(content, bytes) else archive.pack(content))
    with pytest.raises(EvidenceInvalid) as caught:
        verify.verify(path, pinned)
    return caught.value


def resigned(files: Files, name: str, change: Callable[[dict], None], key: Key) -> dict[str, bytes]:
    """The files with one statement changed by somebody with the key; the completion follows."""
    made = dict(files)
    payload = json.loads(made[f"{name}.pae"].split(b" ", 4)[4])
    change(payload)
    envelope = dsse.sign(canonical.dumps(payload), key)
    made |= bundle._triple(name, envelope, key.public_key())
    if name == "completion":
        return made

    def follow(statement: dict) -> None:
        for subject in statement["subject"]:
            if subject["name"] == f"{name}.dsse.json":
                subject["digest"]["sha256"] = sha256(envelope).hexdigest()

    return resigned(made, "completion", follow, key)


@pytest.mark.parametrize("case", cases.ALL.values(), ids=cases.ALL)
def test_every_kind_of_bundle_verifies_with_its_key(
    tmp_path: Path, case: CaseFile, key: Key, trusted: bytes
) -> None:
    path = tmp_path / "evidence.zip"
    written = bundle.write(path, evidence(case, key))
    found = verify.verify(path, trusted)
    assert found.trusted
    assert [step.number for step in found.steps] == list(range(1, 11))
    assert (found.request_ref, found.status) == (case.request_ref, case.status)
    assert found.bundle_sha256 == written


def test_without_a_key_of_the_readers_own_it_says_what_is_left_to_do(
    zipped: Path, key: Key
) -> None:
    found = verify.verify(zipped)
    assert not found.trusted
    assert [step.number for step in found.steps if not step.ok] == [4]
    assert keys.keyid(key.public_key()) in found.steps[3].note
    assert "out of band" in found.steps[3].note


def test_a_bundle_signed_by_a_stranger_is_refused_when_a_key_is_given(
    tmp_path: Path, stranger: Key, trusted: bytes
) -> None:
    error = doubt(tmp_path, evidence(cases.FULFILLED, stranger), trusted)
    assert error.place == "public.pem"


def test_a_pinned_key_that_is_no_key_is_refused(zipped: Path) -> None:
    with pytest.raises(EvidenceInvalid) as caught:
        verify.verify(zipped, b"not a key")
    assert caught.value.place == "the key you gave"


def regions(data: bytes, files: Files) -> list[str]:
    """The owner of every byte of a canonical zip: a member, or the zip for its last record."""
    owners: list[str] = []
    for name in sorted(files):
        owners += [name] * (30 + len(name) + len(files[name]))
    for name in sorted(files):
        owners += [name] * (46 + len(name))
    return owners + ["evidence.zip"] * (len(data) - len(owners))


def test_one_flipped_bit_at_any_offset_is_found_and_its_file_named(
    tmp_path: Path, key: Key
) -> None:
    """A small bundle (no models, a one-line report), every offset, another bit at each."""
    small = replace(cases.WITHDRAWN, software={})
    files = evidence(small, key)
    files["report.html"], files["README.txt"] = b"<p>short</p>", b"short"

    def follow(statement: dict) -> None:
        for subject in statement["subject"]:
            subject["digest"]["sha256"] = sha256(files[subject["name"]]).hexdigest()

    files = resigned(files, "completion", follow, key)
    data = archive.pack(files)
    path = tmp_path / "evidence.zip"
    path.write_bytes(data)
    assert verify.verify(path).status == "withdrawn"
    for offset, owner in enumerate(regions(data, files)):
        changed = bytearray(data)
        changed[offset] ^= 1 << (offset % 8)
        path.write_bytes(changed)
        with pytest.raises(EvidenceInvalid) as caught:
            verify.verify(path)
        assert owner in caught.value.place, f"offset {offset}"


def test_flips_in_every_region_of_a_full_bundle_are_found(tmp_path: Path, files: Files) -> None:
    data = archive.pack(files)
    owners = regions(data, files)
    step = 997  # a prime, so that every kind of field is met
    for offset in [*range(0, len(data), step), *range(len(data) - 1200, len(data))]:
        changed = bytearray(data)
        changed[offset] ^= 0x20
        error = doubt(tmp_path, bytes(changed))
        assert owners[offset] in error.place, f"offset {offset}"


def test_a_flip_is_found_even_when_the_zip_is_packed_again(
    tmp_path: Path, files: Files, trusted: bytes
) -> None:
    for name, content in files.items():
        for offset in {0, len(content) // 3, len(content) // 2, len(content) - 1}:
            changed = bytearray(content)
            changed[offset] ^= 0x01
            error = doubt(tmp_path, {**files, name: bytes(changed)}, trusted)
            assert error.place == name, f"offset {offset} of {name}"


@pytest.mark.parametrize("kept", [0, 1, 4, 21, 22, 30, 100, 5_000, -1, -22, -500])
def test_a_truncated_bundle_is_refused(tmp_path: Path, files: Files, kept: int) -> None:
    data = archive.pack(files)
    assert doubt(tmp_path, data[:kept]).code is Code.BUNDLE_UNREADABLE


@pytest.mark.parametrize("noise", [b"", b"%PDF-1.7", b"\0" * 4096, b"PK\5\6" + b"\0" * 18])
def test_a_file_that_is_no_zip_is_refused(tmp_path: Path, noise: bytes) -> None:
    error = doubt(tmp_path, noise)
    assert (error.code, error.place) == (Code.BUNDLE_UNREADABLE, "evidence.zip")


def test_a_missing_file_is_the_readers_to_find(tmp_path: Path) -> None:
    with pytest.raises(RequestRejected) as caught:
        verify.verify(tmp_path / "absent.zip")
    assert caught.value.code is Code.EVIDENCE_MISSING


def test_every_missing_member_is_named(tmp_path: Path, files: Files) -> None:
    for name in files:
        rest = {n: c for n, c in files.items() if n != name}
        assert doubt(tmp_path, rest).place == name


def test_an_envelope_left_out_with_all_its_files_is_named(tmp_path: Path, files: Files) -> None:
    rest = {n: c for n, c in files.items() if not n.startswith("verification-001")}
    error = doubt(tmp_path, rest)
    assert (error.code, error.place) == (Code.EVIDENCE_MISSING, "verification-001.dsse.json")


@pytest.mark.parametrize("name", ["extra.txt", "verification-001.txt", "completion.dsse.json.bak"])
def test_an_extra_member_is_named(tmp_path: Path, files: Files, name: str) -> None:
    assert doubt(tmp_path, {**files, name: b"hello"}).place == name


def test_an_extra_signed_statement_is_not_one_of_the_case(
    tmp_path: Path, files: Files, key: Key
) -> None:
    more = {
        f"verification-003{end}": files[f"verification-002{end}"]
        for end in (".dsse.json", ".pae", ".sig")
    }
    assert doubt(tmp_path, {**files, **more}).place == "verification-003.dsse.json"


def test_a_member_that_is_there_twice_is_named(tmp_path: Path, files: Files) -> None:
    twice = [("README.txt", files["README.txt"]), ("README.txt", b"read me instead")]
    rest = [(n, c) for n, c in sorted(files.items()) if n != "README.txt"]
    body, directory = b"", b""
    for name, content in twice + rest:
        entry = archive._Entry(name, crc32(content), len(content), len(body))
        body, directory = body + entry.local() + content, directory + entry.central()
    count = len(files) + 1
    end = archive._END.pack(b"PK\5\6", 0, 0, count, count, len(directory), len(body), 0)
    assert doubt(tmp_path, body + directory + end).place == "README.txt"


def test_an_envelope_of_another_case_is_refused_though_the_key_signed_it(
    tmp_path: Path, files: Files, key: Key, trusted: bytes
) -> None:
    other = evidence(cases.case(request_ref="req-other"), key)
    for name in ("policy-commitment", "verification-002"):
        swapped = {n: c for n, c in other.items() if n.startswith(name)}
        assert doubt(tmp_path, {**files, **swapped}, trusted).place == f"{name}.dsse.json"


def test_the_completion_of_another_case_does_not_name_these_files(
    tmp_path: Path, files: Files, key: Key, trusted: bytes
) -> None:
    other = evidence(cases.case(request_ref="req-other"), key)
    swapped = {n: c for n, c in other.items() if n.startswith("completion")}
    assert doubt(tmp_path, {**files, **swapped}, trusted).code is Code.DIGEST_MISMATCH


def test_a_statement_signed_again_by_a_stranger_is_named(
    tmp_path: Path, files: Files, stranger: Key, trusted: bytes
) -> None:
    payload = files["completion.pae"].split(b" ", 4)[4]
    forged = bundle._triple("completion", dsse.sign(payload, stranger), stranger.public_key())
    assert doubt(tmp_path, {**files, **forged}, trusted).place == "completion.dsse.json"


def test_a_statement_of_one_phase_does_not_stand_for_another(tmp_path: Path, files: Files) -> None:
    ends = (".dsse.json", ".pae", ".sig")
    swapped = {f"policy-commitment{end}": files[f"verification-001{end}"] for end in ends}
    assert doubt(tmp_path, {**files, **swapped}).place == "policy-commitment.dsse.json"


def say_fulfilled(statement: dict) -> None:
    statement["predicate"]["request"]["status"] = "fulfilled"


def say_passed(statement: dict) -> None:
    say_fulfilled(statement)
    for model in statement["predicate"]["models"]:
        model["outcome"] = "PASS"


def hide_first_attempt(statement: dict) -> None:
    del statement["predicate"]["models"][0]["attempts"][0]


def be_about_somebody_else(statement: dict) -> None:
    statement["predicate"]["request"]["ref"] = "req-other"


def drop_checks(statement: dict) -> None:
    statement["predicate"]["verdict"]["checks"] = []


def drop_attack(statement: dict) -> None:
    del statement["predicate"]["after"]["attacks"][0]


def measure_before_commitment(statement: dict) -> None:
    statement["predicate"]["measuredAt"] = "2026-11-19T00:00:00Z"


def commit_to_another_policy(statement: dict) -> None:
    statement["predicate"]["policy"]["sha256"] = "0" * 64


def say_exact(statement: dict) -> None:
    statement["predicate"]["models"][0]["attempts"][-1]["deletion"] = "exact"


def lose_a_field(statement: dict) -> None:
    del statement["predicate"]["models"]


@pytest.mark.parametrize(
    ("case", "name", "change"),
    [
        (cases.NOT_ERASED, "completion", say_fulfilled),
        (cases.NOT_ERASED, "completion", say_passed),
        (cases.INCONCLUSIVE, "completion", say_passed),
        (cases.FULFILLED, "completion", hide_first_attempt),
        (cases.FULFILLED, "completion", lose_a_field),
        (cases.FULFILLED, "completion", say_exact),
        (cases.FULFILLED, "verification-001", be_about_somebody_else),
        (cases.FULFILLED, "verification-002", drop_checks),
        (cases.FULFILLED, "verification-002", drop_attack),
        (cases.FULFILLED, "verification-002", measure_before_commitment),
        (cases.FULFILLED, "policy-commitment", commit_to_another_policy),
    ],
)
def test_a_signer_who_claims_too_much_is_caught(
    tmp_path: Path, key: Key, case: CaseFile, name: str, change: Callable[[dict], None]
) -> None:
    error = doubt(tmp_path, resigned(evidence(case, key), name, change, key))
    assert error.place in {"completion.dsse.json", f"{name}.dsse.json"}


def test_a_run_under_another_commitment_is_refused(tmp_path: Path, key: Key) -> None:
    case = cases.FULFILLED
    earlier = envelopes(case, key)
    later = dsse.sign(
        canonical.dumps(
            json.loads(dsse.open_envelope(earlier["policy-commitment"], [key.public_key()]))
            | {"subject": [{"name": "policy.yaml", "digest": {"sha256": "1" * 64}}]}
        ),
        key,
    )
    files = bundle.assemble(case, earlier | {"policy-commitment": later}, key, forbidden=())
    assert doubt(tmp_path, files).place == "verification-001.dsse.json"


def test_verdicts_are_enums_of_the_statement() -> None:
    assert Outcome.PASS == "PASS"  # step 10 compares the text of a statement with the enum
