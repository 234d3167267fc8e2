"""A request file: what is taken in, and the one sentence for each way to get it wrong."""

from datetime import UTC, datetime

import pytest

from domain.errors import Code, RequestRejected
from domain.lifecycle import Status
from domain.records import IdentifierKind
from flows.intake import file_request, load_request, read_request
from tests.flows.conftest import REQUEST

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def read(home, text):
    return read_request(home.write(text), home.catalog, now=NOW)


def test_a_filed_request_is_read_back_whole(home):
    request = read(home, REQUEST)
    ref = file_request(request, home.policy, home.engine, home.vault, home.ledger)
    assert load_request(ref, home.vault) == request
    assert home.ledger.status(ref) is Status.RECEIVED
    assert home.ledger.events(ref)[0].payload["due_on"] == "2026-12-02"


def test_numbers_and_dates_stay_as_they_were_written(home):
    text = REQUEST + "phones: [0900123456]\nbirth_dates: [1984-12-31, 'March 2, 1990']\n"
    subject = read(home, text).subject
    assert subject.values(IdentifierKind.PHONE) == ("0900123456",)
    assert subject.values(IdentifierKind.BIRTH_DATE) == ("1984-12-31", "1990-03-02")


def test_date_of_birth_means_birth_dates(home):
    subject = read(home, REQUEST + "date_of_birth: 1984-12-31\n").subject
    assert subject.values(IdentifierKind.BIRTH_DATE) == ("1984-12-31",)


def test_a_decomposed_name_becomes_composed(home):
    subject = read(home, REQUEST.replace("Wilhelmina", "Rene\u0301e")).subject
    assert subject.values(IdentifierKind.NAME) == ("Renée Zauberlinde",)


def test_without_a_time_of_receipt_it_was_received_now(home):
    text = "".join(line for line in REQUEST.splitlines(True) if "received_at" not in line)
    assert read(home, text).received_at == NOW


SCOPE = "scope: {models: [assistant], corpora: [letters]}\nground: b\n"


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ("names: [unclosed\n", Code.REQUEST_UNREADABLE, "request.yaml, line 2"),
        ("just a sentence\n", Code.REQUEST_UNREADABLE, "request.yaml"),
        (SCOPE, Code.REQUEST_NO_IDENTIFIERS, "fields names"),
        (SCOPE + "names: [Anna]\n", Code.REQUEST_TOO_VAGUE, "field names"),
        (SCOPE + "birth_dates: [1984-12-31]\n", Code.REQUEST_TOO_VAGUE, "field names"),
        (SCOPE + "nmaes: [Ann Lee]\n", Code.REQUEST_FIELD, "field nmaes"),
        (SCOPE + "Ann Lee: x\n", Code.REQUEST_FIELD, "field (unreadable)"),
        (SCOPE + "names: {first: Ann}\n", Code.REQUEST_FIELD, "field names"),
        (SCOPE + "names: [A]\n", Code.REQUEST_FIELD, "field names, entry 1"),
        (SCOPE + 'names: ["Ann\\u200bLee"]\n', Code.REQUEST_FIELD, "field names, entry 1"),
        (SCOPE + "emails: [Ann Lee]\n", Code.REQUEST_FIELD, "field emails, entry 1"),
        (SCOPE + "phones: ['12']\n", Code.REQUEST_FIELD, "field phones, entry 1"),
        (SCOPE + "birth_dates: [31/12/84]\n", Code.REQUEST_FIELD, "field birth_dates, entry 1"),
        (SCOPE + "birth_dates: [2984-12-31]\n", Code.REQUEST_FIELD, "field birth_dates, entry 1"),
        (
            SCOPE + f"aliases: [{', '.join(f'Ann {n}' for n in range(500))}]\n",
            Code.REQUEST_FIELD,
            "field aliases",
        ),
        (REQUEST.replace("[assistant]", "[oracle]"), Code.MODEL_UNKNOWN, "scope.models"),
        (REQUEST.replace("[letters]", "[diaries]"), Code.CORPUS_UNKNOWN, "scope.corpora"),
        (REQUEST.replace("[assistant]", "[both]"), Code.REQUEST_FIELD, "field scope.corpora"),
        (REQUEST.replace("[assistant]", "[]"), Code.REQUEST_FIELD, "field scope.models"),
        (REQUEST.replace("models", "model"), Code.REQUEST_FIELD, "field scope.model"),
        (REQUEST.replace("2026-11-02", "2031-11-02"), Code.REQUEST_FIELD, "field received_at"),
        (REQUEST.replace("+01:00", ""), Code.REQUEST_FIELD, "field received_at"),
        (REQUEST.replace("ground: b", "ground: z"), Code.REQUEST_FIELD, "field ground"),
        (REQUEST.replace("ground: b", ""), Code.REQUEST_FIELD, "field ground"),
    ],
)
def test_a_wrong_request_is_refused_with_the_field_and_a_remedy(home, text, code, place):
    with pytest.raises(RequestRejected) as refused:
        read(home, text)
    assert refused.value.code is code
    assert refused.value.place.startswith(place)
    assert refused.value.exit_code == 2
    for secret in ("Ann", "31/12/84", "2984"):
        assert secret not in refused.value.sentence
    assert not home.ledger.requests()


def test_a_request_that_the_ledger_refuses_leaves_nothing_in_the_vault(home):
    request = read(home, REQUEST)
    ref = file_request(request, home.policy, home.engine, home.vault, home.ledger)
    home.vault.shred(ref)
    with pytest.raises(RequestRejected, match="request_state"):
        file_request(request, home.policy, home.engine, home.vault, home.ledger)
    assert not home.vault.holds(ref)


def test_something_that_is_no_reference_is_not_repeated(home):
    with pytest.raises(RequestRejected) as refused:
        load_request("mina@zauberlinde.example", home.vault)
    assert "mina" not in refused.value.sentence + str(refused.value)
