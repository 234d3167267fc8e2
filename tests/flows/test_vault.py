"""What rests in the vault cannot be read without the keys, nor at all once its key is destroyed."""

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import text, update

from domain.errors import Code, ErasureError, EvidenceInvalid, RequestRejected
from flows.vault import BLOBS, Vault, create_master_key, load_master_key

SECRET = b"Wilhelmina Zauberlinde"
REF, OTHER = "er-0000000000000001", "er-0000000000000002"


@pytest.fixture
def vault(home):
    for ref in (REF, OTHER):
        home.vault.open_request(ref)
        home.vault.put(ref, "request", SECRET)
    return home.vault


def test_what_is_put_is_got_and_replaced(vault):
    vault.put(REF, "spans", b"one")
    vault.put(REF, "spans", b"two")
    assert vault.get(REF, "spans") == b"two"
    assert vault.get(REF, "passages") is None


def test_the_database_file_does_not_hold_the_text(vault, home):
    raw = (home.settings.home / "lethe.db").read_bytes()
    assert SECRET not in raw
    assert SECRET.hex().encode() not in raw


def test_the_database_file_is_for_its_owner_only(vault, home):
    assert (home.settings.home / "lethe.db").stat().st_mode & 0o077 == 0


def test_equal_texts_are_sealed_differently(vault, home):
    with home.engine.begin() as connection:
        sealed = list(connection.scalars(text("SELECT sealed FROM vault_blobs")))
    assert len(set(sealed)) == len(sealed) == 2


def test_a_blob_moved_to_another_request_does_not_open(vault, home):
    with home.engine.begin() as connection:
        one = connection.scalar(text(f"SELECT sealed FROM vault_blobs WHERE request_ref = '{REF}'"))
        connection.execute(update(BLOBS).where(BLOBS.c.request_ref == OTHER).values(sealed=one))
    with pytest.raises(EvidenceInvalid, match="vault_unreadable"):
        vault.get(OTHER, "request")


def test_another_master_key_opens_nothing(vault, home):
    stranger = Vault(home.engine, AESGCM.generate_key(256))
    with pytest.raises(EvidenceInvalid, match="vault_unreadable"):
        stranger.get(REF, "request")


def test_commitments_differ_by_request_tag_and_part_borders(vault):
    made = {
        vault.request_hmac(REF, "subject", b"ab", b"c"),
        vault.request_hmac(REF, "subject", b"a", b"bc"),
        vault.request_hmac(REF, "spans", b"ab", b"c"),
        vault.request_hmac(OTHER, "subject", b"ab", b"c"),
    }
    assert len(made) == 4
    assert vault.request_hmac(REF, "subject", b"ab", b"c") in made


def test_a_destroyed_key_takes_everything_with_it(vault, home):
    with home.engine.begin() as connection:
        wrapped = connection.scalar(
            text(f"SELECT wrapped FROM vault_keys WHERE request_ref = '{REF}'")
        )
    vault.shred(REF)
    assert wrapped not in (home.settings.home / "lethe.db").read_bytes()
    assert vault.get(REF, "request") is None
    with pytest.raises(RequestRejected, match="request_unknown"):
        vault.request_hmac(REF, "subject", b"")
    assert vault.get(OTHER, "request") == SECRET


def test_a_missing_master_key_names_the_remedy(tmp_path):
    with pytest.raises(RequestRejected) as refused:
        load_master_key(tmp_path / "master-key")
    assert refused.value.code is Code.KEY_MISSING
    assert "lethe keys create" in refused.value.sentence


def test_a_master_key_that_others_may_read_is_refused(tmp_path):
    path = tmp_path / "master-key"
    create_master_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    with pytest.raises(RequestRejected) as refused:
        load_master_key(path)
    assert refused.value.code is Code.KEY_UNSAFE
    assert "chmod 600" in refused.value.sentence


def test_a_master_key_is_never_overwritten(tmp_path):
    path = tmp_path / "master-key"
    create_master_key(path)
    before = path.read_bytes()
    with pytest.raises(RequestRejected, match="key_exists"):
        create_master_key(path)
    assert path.read_bytes() == before


def test_a_damaged_master_key_is_refused_without_showing_it(tmp_path):
    path = tmp_path / "master-key"
    create_master_key(path)
    damaged = path.read_text()[:40]
    path.write_text(damaged)
    with pytest.raises(ErasureError) as refused:
        load_master_key(path)
    assert refused.value.code is Code.KEY_UNREADABLE
    assert damaged not in refused.value.sentence
