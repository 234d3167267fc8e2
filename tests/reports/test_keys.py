import stat
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from domain.errors import Code, ErasureError, EvidenceInvalid, RequestRejected, Unavailable
from reports import keys


def refused(path: Path, passphrase: bytes | None = None) -> ErasureError:
    with pytest.raises(RequestRejected) as caught:
        keys.load_private(path, passphrase)
    return caught.value


def test_a_made_key_is_read_back_and_has_the_fingerprint_openssl_computes(tmp_path: Path) -> None:
    pair = keys.create(tmp_path / "keys", None)
    assert keys.keyid(keys.load_private(pair.private, None).public_key()) == pair.keyid
    assert keys.keyid(keys.load_public(pair.public.read_bytes())) == pair.keyid
    der = subprocess.run(
        ["openssl", "pkey", "-pubin", "-in", pair.public, "-outform", "DER"],
        check=True,
        capture_output=True,
    ).stdout
    digest = subprocess.run(
        ["openssl", "dgst", "-sha256", "-r"], input=der, check=True, capture_output=True
    ).stdout
    assert digest.split()[0].decode() == pair.keyid


def test_the_private_file_is_for_its_owner_only(tmp_path: Path) -> None:
    pair = keys.create(tmp_path, b"open sesame")
    assert stat.S_IMODE(pair.private.stat().st_mode) == 0o600
    assert b"ENCRYPTED" in pair.private.read_bytes()


def test_an_encrypted_key_opens_with_its_passphrase_only(tmp_path: Path) -> None:
    pair = keys.create(tmp_path, b"open sesame")
    keys.load_private(pair.private, b"open sesame")
    for passphrase in (None, b"wrong"):
        assert refused(pair.private, passphrase).code is Code.KEY_UNREADABLE


def test_a_passphrase_for_a_plain_key_is_refused(tmp_path: Path) -> None:
    pair = keys.create(tmp_path, None)
    assert refused(pair.private, b"unasked").code is Code.KEY_UNREADABLE


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    before = keys.create(tmp_path, None).private.read_bytes()
    with pytest.raises(RequestRejected) as caught:
        keys.create(tmp_path, None)
    assert caught.value.code is Code.KEY_EXISTS
    assert (tmp_path / keys.PRIVATE_NAME).read_bytes() == before


def test_a_lone_public_file_stops_the_making_of_a_pair(tmp_path: Path) -> None:
    (tmp_path / keys.PUBLIC_NAME).write_bytes(b"somebody needs this")
    with pytest.raises(RequestRejected):
        keys.create(tmp_path, None)
    assert not (tmp_path / keys.PRIVATE_NAME).exists()


def test_a_missing_key_names_its_path_and_the_command(tmp_path: Path) -> None:
    error = refused(tmp_path / "absent.pem")
    assert error.code is Code.KEY_MISSING
    assert str(tmp_path / "absent.pem") in error.sentence
    assert "lethe keys create" in error.sentence


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    pair = keys.create(tmp_path, None)
    pair.private.chmod(mode)
    assert refused(pair.private).code is Code.KEY_UNSAFE


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Unavailable) as caught:
        keys.create(tmp_path / "file" / "keys", None)
    assert caught.value.code is Code.DISK


@pytest.mark.parametrize(
    "other", [ec.generate_private_key(ec.SECP384R1()), ed25519.Ed25519PrivateKey.generate()]
)
def test_a_key_of_another_kind_is_refused(
    tmp_path: Path, other: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
) -> None:
    path = tmp_path / "other.pem"
    path.touch(0o600)
    path.write_bytes(
        other.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    assert refused(path).code is Code.KEY_UNREADABLE
    public = other.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    with pytest.raises(EvidenceInvalid):
        keys.load_public(public)


def test_a_file_that_is_no_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "noise.pem"
    path.touch(0o600)
    path.write_bytes(b"\0\xffnoise")
    assert refused(path).code is Code.KEY_UNREADABLE
