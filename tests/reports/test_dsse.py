import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.dsse import Envelope as SecondEnvelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey

from domain.errors import EvidenceInvalid
from reports import dsse
from reports.keys import keyid

PAYLOAD = b'{"a":1}'
Key = ec.EllipticCurvePrivateKey


def altered(envelope: bytes, **fields: object) -> bytes:
    return json.dumps(json.loads(envelope) | fields).encode()


def second_opinion(envelope: bytes, key: Key) -> None:
    known = SSlibKey.from_crypto(key.public_key(), keyid(key.public_key()))
    SecondEnvelope.from_dict(json.loads(envelope)).verify([known], 1)


def test_the_encoding_is_the_one_of_the_protocols_own_example() -> None:
    expected = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    assert dsse.pae("http://example.com/HelloWorld", b"hello world") == expected


def test_an_envelope_opens_to_its_payload(key: Key) -> None:
    assert dsse.open_envelope(dsse.sign(PAYLOAD, key), [key.public_key()]) == PAYLOAD


def test_the_same_payload_gives_the_same_envelope(key: Key) -> None:
    assert dsse.sign(PAYLOAD, key) == dsse.sign(PAYLOAD, key)


def test_securesystemslib_accepts_our_envelope_and_refuses_a_changed_one(key: Key) -> None:
    envelope = dsse.sign(PAYLOAD, key)
    second_opinion(envelope, key)
    with pytest.raises(VerificationError):
        second_opinion(altered(envelope, payload=base64.b64encode(b'{"a":2}').decode()), key)


def test_an_envelope_of_securesystemslib_opens_here(key: Key) -> None:
    from securesystemslib.signer import CryptoSigner

    theirs = SecondEnvelope(PAYLOAD, dsse.PAYLOAD_TYPE, {})
    theirs.sign(CryptoSigner(key))
    envelope = json.dumps(theirs.to_dict()).encode()
    assert dsse.open_envelope(envelope, [key.public_key()]) == PAYLOAD


def test_url_safe_base64_is_accepted(key: Key) -> None:
    envelope = json.loads(dsse.sign(b"\xff\xfe\xfd\xfb>>>???", key))
    urlsafe = envelope["payload"].replace("+", "-").replace("/", "_")
    assert urlsafe != envelope["payload"]
    changed = altered(json.dumps(envelope).encode(), payload=urlsafe)
    assert dsse.open_envelope(changed, [key.public_key()]).endswith(b"???")


def test_a_lying_key_id_is_only_a_hint(key: Key) -> None:
    envelope = json.loads(dsse.sign(PAYLOAD, key))
    envelope["signatures"][0]["keyid"] = "somebody else"
    assert dsse.open_envelope(json.dumps(envelope).encode(), [key.public_key()]) == PAYLOAD


def test_another_key_does_not_open_it(key: Key, stranger: Key) -> None:
    with pytest.raises(EvidenceInvalid):
        dsse.open_envelope(dsse.sign(PAYLOAD, key), [stranger.public_key()])


def test_no_key_opens_nothing(key: Key) -> None:
    with pytest.raises(EvidenceInvalid):
        dsse.open_envelope(dsse.sign(PAYLOAD, key), [])


@pytest.mark.parametrize(
    "fields",
    [
        {"payload": "bm90IGl0"},
        {"payload": ""},
        {"payload": "not base64!"},
        {"payload": None},
        {"payloadType": "text/plain"},
        {"signatures": []},
        {"signatures": None},
        {"signatures": ["sig"]},
        {"signatures": [{}]},
        {"signatures": [{"keyid": 3, "sig": "AAAA"}]},
        {"signatures": [{"keyid": "", "sig": "AAAA"}]},
    ],
)
def test_a_changed_field_is_refused(key: Key, fields: dict[str, object]) -> None:
    with pytest.raises(EvidenceInvalid):
        dsse.open_envelope(altered(dsse.sign(PAYLOAD, key), **fields), [key.public_key()])


@pytest.mark.parametrize(
    "noise",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"3",
        b'{"payload":NaN}',
        b'{"payload":"YQ==","payload":"Yg=="}',
        b"[" * 100_000,
    ],
)
def test_noise_is_refused_and_the_error_names_the_file(key: Key, noise: bytes) -> None:
    with pytest.raises(EvidenceInvalid) as caught:
        dsse.open_envelope(noise, [key.public_key()], place="completion.dsse.json")
    assert caught.value.place == "completion.dsse.json"


@given(payload=st.binary(max_size=200), kind=st.text(max_size=40))
def test_two_different_messages_never_share_an_encoding(payload: bytes, kind: str) -> None:
    encoded = dsse.pae(kind, payload)
    head, length, rest = encoded.split(b" ", 2)
    assert head == b"DSSEv1"
    assert rest[: int(length)] == kind.encode()
    size, body = rest[int(length) + 1 :].split(b" ", 1)
    assert (int(size), body) == (len(payload), payload)
