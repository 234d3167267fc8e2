import base64
import html
import json
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import Code, EvidenceInvalid
from domain.secrecy import Secret
from reports.guard import refuse_personal_data, words_of

NAME = "Zoë O'Mally-Quirk"
PHONE = "+1 (555) 867-5309"


def finds(identifier: str, payload: bytes, own: frozenset[str] = frozenset()) -> bool:
    caught = None
    try:
        refuse_personal_data({"report.html": payload}, [Secret(identifier)], own_words=own)
    except EvidenceInvalid as error:
        caught = error
    return caught is not None and caught.code is Code.PERSONAL_DATA_IN_EVIDENCE


@pytest.mark.parametrize(
    "clothe",
    [
        str,
        str.upper,
        str.lower,
        html.escape,
        json.dumps,
        quote,
        lambda t: t.replace("ë", "e\u0308"),
        lambda t: t.replace("ë", "e"),
        lambda t: t.replace(" ", "\n   "),
        lambda t: t.replace(" ", "_"),
        lambda t: t.encode().hex(),
        lambda t: t.encode().hex().upper(),
        lambda t: base64.b64encode(t.encode()).decode(),
        lambda t: base64.b64encode(b"x" + t.encode()).decode(),
        lambda t: base64.urlsafe_b64encode(b"xy" + t.encode() + b"z").decode(),
    ],
)
def test_a_name_is_found_in_every_clothing(clothe: Callable[[str], str]) -> None:
    assert finds(NAME, f"<p>before {clothe(NAME)} after</p>".encode())


@given(st.text(st.characters(codec="utf-8"), max_size=30), st.text("abcdef ghijk", min_size=12))
def test_a_name_inside_an_envelopes_base64_is_found(before: str, name: str) -> None:
    payload = json.dumps({"payload": base64.b64encode((before + name).encode()).decode()})
    assert not name.strip() or finds(name, payload.encode())


@pytest.mark.parametrize("written", [PHONE, "15558675309", "+1-555-867-5309", "1 555 867 5309"])
def test_a_phone_number_is_found_with_any_separators(written: str) -> None:
    assert finds(PHONE, f"call {written}.".encode())


@pytest.mark.parametrize(
    ("identifier", "text"),
    [
        ("Ann", "annotated manners"),
        ("900514344", f"digest 900514344{'a' * 55}"),
        ("900514344", "M 12.900514344 L 3"),
        ("42", "42 passages"),
        ("1024", "1024 documents"),
        ("Lee", "sleeve"),
    ],
)
def test_a_part_of_a_word_or_of_a_digest_is_not_a_person(identifier: str, text: str) -> None:
    assert not finds(identifier, text.encode())


def test_a_word_of_the_report_itself_is_not_looked_for_there() -> None:
    own = words_of("The mark of the report")
    assert not finds("Mark", b"<p>mark</p>", own)
    assert finds("Mark", b"<p>mark</p>")
    assert finds("Mark Twainson", b"<p>mark twainson</p>", own)


def test_every_payload_is_searched_and_the_right_one_is_named() -> None:
    with pytest.raises(EvidenceInvalid) as caught:
        refuse_personal_data(
            {"clean": b"nothing", "completion.pae": NAME.encode()}, [Secret("other"), Secret(NAME)]
        )
    assert caught.value.place == "completion.pae"
    assert NAME not in caught.value.sentence + str(caught.value)


def test_an_empty_identifier_matches_nothing() -> None:
    assert not finds("  ", b"anything at all")
