"""A Secret comes out by `reveal` and in no other way."""

import copy
import dataclasses
import io
import json
import logging
import pickle
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import Code, ErasureError, RequestRejected, Unavailable
from domain.log import log
from domain.records import Document, Identifier, IdentifierKind, Subject
from domain.secrecy import Secret

TEXT = "Maren Tolvik"
SECRET = Secret(TEXT)


@pytest.mark.parametrize(
    "way",
    [
        str,
        lambda s: f"{s}",
        lambda s: f"{s:>20}",
        lambda s: "%s" % s,  # noqa: UP031
        "{}".format,
        format,
        copy.copy,
        copy.deepcopy,
        json.dumps,
        lambda s: "x" + s,
        lambda s: dataclasses.asdict(Document("a#1", s)),
        *(lambda s, p=p: pickle.dumps(s, p) for p in range(pickle.HIGHEST_PROTOCOL + 1)),
        lambda s: pickle.dumps(Document("a#1", s)),
    ],
)
def test_every_way_out_but_reveal_is_refused_without_the_text(way: object) -> None:
    with pytest.raises(TypeError) as refused:
        way(SECRET)  # type: ignore[operator]
    assert "Maren" not in "".join(traceback.format_exception(refused.value))


def test_repr_shows_nothing_also_inside_records() -> None:
    subject = Subject("er-1", (Identifier(IdentifierKind.NAME, SECRET),))
    for shown in (repr(SECRET), repr(Document("a#1", SECRET)), repr(subject), f"{SECRET!r}"):
        assert "Maren" not in shown
    assert not hasattr(SECRET, "__dict__")


def test_logging_a_secret_writes_nothing_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logger = logging.getLogger("test.secrecy")
    logger.addHandler(handler)
    logger.propagate = False
    try:
        logger.error("it is %s", SECRET)
        logger.error("it is %r", SECRET)
        logger.error(SECRET)
    finally:
        logger.removeHandler(handler)
    captured = capsys.readouterr()
    assert "Maren" not in stream.getvalue() + captured.out + captured.err


@given(st.text(), st.text())
def test_secrets_compare_by_their_text(one: str, other: str) -> None:
    assert (Secret(one) == Secret(other)) == (one == other)
    assert Secret(one) != one
    assert hash(Secret(one)) == hash(Secret(one))
    assert len(Secret(one)) == len(one)
    assert Secret(one).reveal() == one


def test_lone_surrogates_compare_too() -> None:
    assert Secret("\ud800") == Secret("\ud800")
    assert Secret("\ud800") != Secret("\ud801")


def test_an_error_prints_its_code_and_reference_and_nothing_else() -> None:
    error = RequestRejected(
        Code.REQUEST_FIELD, place="request.yaml, name", remedy="write it.", request_ref="er-1"
    )
    assert str(error) == "request_field er-1"
    assert error.args == ("request_field er-1",)
    assert error.sentence == "request.yaml, name: write it."
    assert str(Unavailable(Code.DISK, place="a", remedy="b")) == "disk"
    assert "write it" not in "".join(traceback.format_exception(error))


def test_every_leaf_has_its_own_exit_code() -> None:
    codes = [leaf.exit_code for leaf in ErasureError.__subclasses__()]
    assert len(codes) == 5
    assert len({*codes, ErasureError.exit_code, 0}) == 7


def test_a_log_line_holds_ids_and_numbers(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "lethe"):
        log("located", request="er-1", documents=3, value=0.5)
    assert json.loads(caplog.messages[0]) == {
        "event": "located", "request": "er-1", "documents": 3, "value": 0.5,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        ("found Maren Tolvik", {}),
        ("located", {"name": "er-1"}),
        ("located", {"request": TEXT}),
        ("located", {"request": "maren@example.org"}),
        ("located", {"request": "x" * 81}),
        ("located", {"request": "er-1\n"}),
        ("located", {"request": SECRET}),
        ("located", {"request": [TEXT]}),
        ("located", {"count": {TEXT: 1}}),
        ("located", {"count": TEXT.encode()}),
        ("located", {"code": None}),
    ],
)
def test_the_log_refuses_free_text(
    event: str, fields: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "lethe"), pytest.raises(ValueError) as refused:  # noqa: PT011
        log(event, **fields)
    assert not caplog.messages
    assert "Maren" not in str(refused.value)
