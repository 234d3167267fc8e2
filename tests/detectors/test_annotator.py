"""The annotator adds what a real endpoint says, checks every answer, and stops the search rather than miss one."""

import logging

import pytest

from detectors.annotator import Annotator
from detectors.answers import parts
from detectors.exact import ExactIndex
from detectors.locate import locate
from detectors.protocol import Case
from domain.errors import Code, DetectionFailed, RequestRejected
from domain.records import Owner, SensitiveSpan, SpanKind
from tests.detectors.chatserver import BROKEN
from tests.detectors.conftest import document, person, shown
from tests.detectors.serving import served

DENTIST = "the only dentist in Halden"
EPILEPSY = "has had epilepsy since childhood"
PRIVATE = [DENTIST, EPILEPSY, "Mari", "Zoë's sister"]
TEXT = f"Maren Tolvik is {DENTIST} and {EPILEPSY}. The ferry leaves at noon, and the tea was cold."
MAREN = person(name="Maren Tolvik")
SECRETS = ("dentist", "epilepsy", "Tolvik", "ferry")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with served(tmp_path_factory.mktemp("chat"), PRIVATE) as running:
        yield running


@pytest.fixture
def annotator(server):
    def made(model: str = "right", **knobs: object) -> Annotator:
        return Annotator("chat", model, endpoint=server.endpoint, **knobs)

    return made


def refused(find, secrets=SECRETS) -> DetectionFailed:
    with pytest.raises(DetectionFailed) as caught:
        find()
    said = caught.value.sentence + str(caught.value) + repr(caught.value)
    assert not [word for word in secrets if word in said]
    assert caught.value.__cause__ is None
    assert caught.value.code is Code.DETECTOR_BROKE
    return caught.value


def test_what_no_pattern_knows_is_found_with_exact_borders(annotator):
    spans = annotator().find(document(TEXT), MAREN)
    assert shown(TEXT, spans) == [("other", DENTIST), ("other", EPILEPSY)]
    assert {(s.owner, s.detector, s.confidence) for s in spans} == {
        (Owner.SUBJECT, "annotator", 1.0)
    }


def test_nothing_private_is_an_empty_answer(annotator):
    assert annotator().find(document("The ferry leaves at noon."), MAREN) == []
    assert annotator().find(document(" \n"), MAREN) == []


def test_every_place_of_a_part_is_found_but_not_inside_of_words(annotator):
    text = "Mari went. Marine life stayed; Mari's boat and the Mari."
    spans = annotator(share=0.9).find(document(text), MAREN)
    assert [(s.start, s.end) for s in spans] == [(0, 4), (31, 35), (51, 55)]


def test_composed_and_decomposed_letters_and_white_space_are_the_same_part():
    text = "She is Zoe\u0308's\n  sister, by the way."
    assert parts('{"parts": ["Zo\u00eb\'s sister"]}', text) == [(7, 22)]


@pytest.mark.parametrize("broken", [*sorted(BROKEN), "cut", "empty", "page"])
def test_an_answer_of_another_form_is_asked_for_once_more_and_then_raised(
    annotator, server, broken
):
    before = server.counts()["asked"]
    text = f"Maren Tolvik is {DENTIST}." + " It rained on the harbour." * 12
    error = refused(lambda: annotator(broken).find(document(text), MAREN))
    assert error.place == "detector annotator at corpus.jsonl#1"
    assert "twice" in error.remedy
    first_stage = broken not in {"score", "list-score", "category"}
    assert server.counts()["asked"] - before == (2 if first_stage else 3)


@pytest.mark.parametrize("broken", ["halved", "prose"])
def test_one_malformed_answer_is_forgiven(annotator, server, broken):
    text = f"Maren Tolvik is {DENTIST}, and that is that, as far as anybody knows in this town."
    before = server.counts()["asked"]
    spans = annotator(f"{broken}:once").find(document(text), MAREN)
    assert shown(text, spans) == [("other", DENTIST)]
    assert server.counts()["asked"] - before == 3


@pytest.mark.parametrize(
    ("model", "said"),
    [("status:500", "500"), ("status:401", "401"), ("status:404", "404"), ("moved", "307")],
)
def test_a_server_that_answers_with_an_error_stops_the_search(annotator, model, said):
    assert said in refused(lambda: annotator(model).find(document(TEXT), MAREN)).remedy


def test_an_endpoint_that_times_out_stops_the_search(annotator):
    error = refused(lambda: annotator("late", timeout=0.2).find(document(TEXT), MAREN))
    assert "0.2 seconds" in error.remedy


def test_an_endpoint_that_is_not_there_stops_the_search(server):
    gone = Annotator("chat", "right", endpoint="http://127.0.0.1:9/v1")
    assert "cannot be reached" in refused(lambda: gone.find(document(TEXT), MAREN)).remedy
    refused(gone.check)
    Annotator("chat", "right", endpoint=server.endpoint).check()
    unfit = Annotator("chat", "prose", endpoint=server.endpoint)
    assert "not JSON" in refused(unfit.check).remedy


def test_a_budget_that_is_used_up_is_an_error_and_not_fewer_spans(annotator):
    poor = annotator(budget_tokens=3000)
    error = refused(lambda: poor.find(document(TEXT * 30), MAREN))
    assert "budget of 3000 tokens" in error.remedy
    enough = annotator(budget_tokens=20_000)
    assert len(enough.find(document(TEXT), MAREN)) == 2
    [chat] = enough._reader
    assert chat.spent == 3 * 110  # one proposal, two judgements, as the server counts them


def test_threads_together_stay_within_the_budget(annotator):
    reader = annotator("slow", budget_tokens=12_000, threads=8)
    documents = [document(f"{TEXT} {n}", f"c#{n}") for n in range(40)]
    refused(lambda: reader.review([Case(d, MAREN, ()) for d in documents]))
    assert reader._reader[0].spent <= 12_000


def test_windows_of_a_long_document_overlap_and_offsets_are_the_documents(annotator):
    filler = "It rained on the harbour. " * 40
    text = filler + TEXT + filler + f"He is {DENTIST}. " + filler
    for window in (300, 517, 10_000):
        spans = annotator(window=window, overlap=120).find(document(text), MAREN)
        assert shown(text, spans) == [
            ("other", DENTIST),
            ("other", EPILEPSY),
            ("other", DENTIST),
        ]


def test_a_judgement_that_is_not_sure_is_uncertain_and_a_weak_one_nothing(annotator, monkeypatch):
    from detectors.annotation import Judgement

    for score, owners in ((0.6, {Owner.UNCERTAIN}), (0.2, set()), (0.8, {Owner.SUBJECT})):
        reader = annotator()
        monkeypatch.setattr(
            reader._reader[0], "judge", lambda *_, s=score: Judgement(True, SpanKind.OTHER, s)
        )
        assert {s.owner for s in reader.find(document(TEXT), MAREN)} == owners


def span(text: str, part: str, owner: Owner, detector: str = "presidio") -> SensitiveSpan:
    at = text.index(part)
    return SensitiveSpan("corpus.jsonl#1", at, at + len(part), SpanKind.PHONE, owner, detector, 0.9)


def test_what_is_surely_somebodys_stays_so_and_what_is_unclear_can_become_the_subjects(annotator):
    text = f"Maren Tolvik, {DENTIST}; Jon has Mari in Halden as a guest, and the weather is fine."
    halden = span(text, "Halden;", Owner.OTHER)
    mari = span(text, "Mari ", Owner.UNCERTAIN)
    [added] = annotator().review([Case(document(text), MAREN, (halden, mari))])
    assert shown(text, added) == [("other", "the only dentist in"), ("other", "Mari")]
    assert {s.owner for s in added} == {Owner.SUBJECT}


def test_a_document_that_is_known_already_may_be_marked_all_over(annotator):
    text = f"Maren Tolvik: {DENTIST}. " * 20
    refused(lambda: annotator().find(document(text), MAREN))
    known = [
        SensitiveSpan("corpus.jsonl#1", n, n + 20, SpanKind.OTHER, Owner.SUBJECT, "exact", 1.0)
        for n in range(0, len(text) - 20, 25)
    ]
    assert annotator().review([Case(document(text), MAREN, known)])[0] != []


def test_the_same_questions_are_asked_once(annotator, server):
    reader = annotator()
    first = reader.find(document(TEXT), MAREN)
    before = server.counts()["asked"]
    second = reader.find(document(TEXT, "other.jsonl#7"), MAREN)
    assert server.counts()["asked"] == before
    assert {s.document for s in second} == {"other.jsonl#7"}
    assert [(s.start, s.end) for s in first] == [(s.start, s.end) for s in second]
    reader.find(document(TEXT), person(name="Jon Aske"))
    assert server.counts()["asked"] > before


def test_nothing_of_question_or_answer_is_logged(annotator, caplog, monkeypatch):
    monkeypatch.setenv("OPENAI_LOG", "debug")
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("openai").setLevel(logging.DEBUG)
        annotator().find(document(TEXT), MAREN)
        refused(lambda: annotator("prose").find(document(TEXT), MAREN))
    assert not [r for r in caplog.records if r.name.startswith("openai")]
    said = " ".join(r.getMessage() for r in caplog.records)
    assert not [word for word in SECRETS if word in said]


def test_a_proxy_of_the_environment_is_not_used(annotator, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert len(annotator().find(document(TEXT), MAREN)) == 2


def test_the_key_comes_from_the_variable_that_the_policy_names_and_from_nowhere_else(
    annotator, monkeypatch
):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-another-service")
    monkeypatch.delenv("LETHE_TEST_KEY", raising=False)
    missing = annotator(key_variable="LETHE_TEST_KEY")
    assert "LETHE_TEST_KEY" in refused(lambda: missing.find(document(TEXT), MAREN)).remedy
    monkeypatch.setenv("LETHE_TEST_KEY", "sk-ours")
    for reader, key in (
        (annotator(key_variable="LETHE_TEST_KEY"), "sk-ours"),
        (annotator(), "none"),
    ):
        [chat] = reader._reader
        assert chat._client().api_key == key
        chat.close()
        assert key not in repr(reader) + repr(chat) or key == "none"
        assert len(reader.find(document(TEXT), MAREN)) == 2


HERE = [
    "http://127.0.0.1:8000/v1",
    "http://localhost/v1",
    "http://LOCALHOST:1/v1",
    "http://[::1]:8000/v1",
    "http://127.3.2.1/v1",
]
AWAY = [
    "http://10.0.0.4:8000/v1",
    "https://api.example.com/v1",
    "http://0.0.0.0:8000/v1",
    "http://2130706433/v1",
    "http://127.0.0.1.example.com/v1",
    "http://localhost.example.com/v1",
    "http://127.0.0.1@example.com/v1",
    "http://example.com#@127.0.0.1/v1",
    "https://models.example.org:8443/v1/../..@127.0.0.1/",
    "https://user:key@models.example.org/v1",
    "http://models.example.org/v1",
    "https://evil.models.example.org/v1",
    "ftp://127.0.0.1/v1",
    "127.0.0.1:8000",
    "http://127.0.0.1:port/v1",
    "http://[::1/v1",
    "",
]


@pytest.mark.parametrize("endpoint", HERE)
def test_this_machine_is_an_endpoint(endpoint):
    Annotator("chat", "m", endpoint=endpoint)


@pytest.mark.parametrize("endpoint", AWAY)
def test_every_other_machine_is_refused_unless_named(endpoint):
    remote = ("models.example.org",) if "@127.0.0.1/" not in endpoint else ()
    with pytest.raises(RequestRejected) as caught:
        Annotator("chat", "m", endpoint=endpoint, remote=remote)
    assert caught.value.place == "detectors.annotator.endpoint"


def test_a_host_that_the_policy_names_is_an_endpoint():
    Annotator(
        "chat", "m", endpoint="https://Models.example.org:8443/v1", remote=("models.example.org",)
    )


@pytest.mark.parametrize(
    "knobs",
    [
        {"backend": "oracle", "model": "m"},
        {"backend": "chat", "model": ""},
        {"threshold": 0.2},
        {"uncertain": 0.0},
        {"share": 1.0},
        {"window": 100},
        {"threads": 0},
        {"timeout": 0.0},
        {"budget_tokens": 0},
        {"context": -1},
    ],
)
def test_a_knob_that_cannot_be_is_refused(knobs):
    with pytest.raises(ValueError, match=r"the backend is|uncertain|overlap|above 0"):
        Annotator(**{"backend": "chat", "model": "m", "endpoint": HERE[0]} | knobs)


def test_a_search_shows_the_annotator_the_documents_of_the_subject_alone(annotator, server):
    before = server.counts()["asked"]
    steps: list[int] = []
    reader = annotator()
    texts = ["The ferry leaves at noon.", TEXT, f"Jon Aske is {DENTIST}."]
    found = locate(
        [document(text, f"a#{n}") for n, text in enumerate(texts, start=1)],
        MAREN,
        {"exact": ExactIndex(), "annotator": reader},
        steps.append,
    )
    assert server.counts()["asked"] - before == 3
    assert shown(TEXT, found.spans) == [
        ("person", "Maren Tolvik"),
        ("other", DENTIST),
        ("other", EPILEPSY),
    ]
    assert (found.documents, found.candidates, steps) == (3, 1, [1, 3])
