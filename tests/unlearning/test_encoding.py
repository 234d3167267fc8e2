"""No sensitive character is lost on the way to tokens, however long the text and whatever its letters."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.records import Passage, SpanKind
from tests.unlearning.conftest import tiny_model
from tests.unlearning.sample import marked, passage
from unlearning import training
from unlearning.encoding import Encoded, encode, pad, sensitive_mask
from unlearning.models import LanguageModel

TEXT = st.text(
    st.one_of(st.sampled_from("abc 0123-@."), st.characters(exclude_categories=("Cs",))),
    min_size=1,
    max_size=60,
)


@pytest.fixture(scope="session")
def reader(untrained: LanguageModel) -> LanguageModel:
    return tiny_model("gpt2", untrained)


def letters(model: LanguageModel, text: str) -> list[tuple[int, int]]:
    batch = model.tokenizer([text], add_special_tokens=False, return_offsets_mapping=True)
    return [(int(a), int(b)) for a, b in batch["offset_mapping"][0]]


@settings(max_examples=60)
@given(text=TEXT, data=st.data())
def test_every_sensitive_character_lies_in_a_sensitive_token(
    reader: LanguageModel, text: str, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    rows = encode(reader, [passage(text, (start, end, SpanKind.OTHER))])
    offsets = letters(reader, text)
    if len(rows) > 1:
        return  # long texts are the business of the tests below
    covered = {
        place
        for (a, b), flag in zip(offsets, rows[0].sensitive[1:], strict=True)
        if flag
        for place in range(a, b)
    }
    assert set(range(start, end)) <= covered


def answered(model: LanguageModel, item: Passage) -> tuple[list[int], list[Encoded]]:
    """How many windows answer for each token of the text, found by the tokens' places; and the windows."""
    rows = encode(model, [item])
    length = len(letters(model, item.text.reveal()))
    counts, head, tail = [0] * length, 1, int(model.masked)
    room = model.context - head - tail
    for number, window in enumerate(rows):
        start = number * (room // 2)
        for span in window.spans:
            assert span.start >= head + (start > 0)  # text before it to ask with
            for t in range(span.start, span.end):
                counts[start + t - head] += 1
    return counts, list(rows)


@pytest.mark.parametrize("kind", ["gpt2", "bert"])
@settings(max_examples=40)
@given(
    length=st.integers(1, 700),
    places=st.lists(st.tuples(st.integers(0, 699), st.integers(1, 400)), min_size=1, max_size=4),
)
def test_windows_answer_for_each_token_of_a_secret_exactly_once(
    untrained: LanguageModel, kind: str, length: int, places: list[tuple[int, int]]
) -> None:
    model = tiny_model(kind, untrained)
    text = ("7" * 997)[:length]  # one token per digit
    spans, taken = [], 0
    for start, width in sorted(places):
        first, last = max(start, taken), min(start + width, length)
        if first < last:
            spans.append((first, last, SpanKind.NUMBER))
            taken = last
    counts, rows = answered(model, passage(text, *spans))
    wanted = [0] * length
    for first, last, _ in spans:
        wanted[first:last] = [1] * (last - first)
    assert counts == wanted
    assert all(len(window) <= model.context for window in rows)
    for window in rows:
        inside = {t for span in window.spans for t in range(span.start, span.end)}
        assert {t for t, flag in enumerate(window.sensitive) if flag} == inside


@pytest.mark.parametrize("width", [63, 64, 65, 100, 126, 127, 128, 300])
@pytest.mark.parametrize("start", [0, 1, 40, 63, 64, 100, 127, 190, 400])
def test_a_long_secret_across_windows_is_not_lost(
    reader: LanguageModel, width: int, start: int
) -> None:
    counts, _ = answered(reader, passage("7" * 800, (start, start + width, SpanKind.NUMBER)))
    assert counts == [int(start <= t < start + width) for t in range(800)]


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("Æsa Þór: ☎ 555\u20110137 ✓", "555\u20110137"),
        ("na\u0131\u0308ve e\u0301cole cafe\u0301", "cafe\u0301"),
        ("👩‍👩‍👧 lives at Straße 9", "Straße 9"),
        ("氏名 山田太郎 電話 03-1234", "山田太郎"),
        ("broken \ud83d half 555", "555"),
        ("\ufeffstarts with a mark 12", "12"),
        ("call\u2028555\u00a00137\u200b now", "555\u00a00137\u200b"),
    ],
)
def test_any_script_keeps_its_secrets(reader: LanguageModel, text: str, secret: str) -> None:
    (window,) = encode(reader, [marked(text, (secret, SpanKind.OTHER))])
    (span,) = window.spans
    assert secret in reader.tokenizer.decode(window.ids[span.start : span.end])
    window.text.encode()


def test_a_name_is_not_sensitive_and_an_empty_text_has_no_window(reader: LanguageModel) -> None:
    (window,) = encode(reader, [marked("Maren calls 555", ("Maren", SpanKind.PERSON))])
    assert not any(window.sensitive)
    assert not window.spans
    assert encode(reader, [passage("")]) == ()


def test_spans_come_in_the_order_of_the_text_however_they_are_given(
    reader: LanguageModel,
) -> None:
    item = passage("call 555 or 777", (12, 15, SpanKind.PHONE), (5, 8, SpanKind.PHONE))
    (window,) = encode(reader, [item])
    assert [s.start for s in window.spans] == sorted(s.start for s in window.spans)


def test_candidates_are_tokenised_as_they_would_stand_in_the_text(reader: LanguageModel) -> None:
    item = marked("please call 212-555 now", ("212-555", SpanKind.PHONE))
    (window,) = encode(reader, [item], lambda _, __: ["917-444", "212-555", "1"])
    (span,) = window.spans
    swapped = encode(reader, [marked("please call 917-444 now", ("917-444", SpanKind.PHONE))])[0]
    assert span.candidates[0] == swapped.ids[swapped.spans[0].start : swapped.spans[0].end]
    assert len(span.candidates) == 2  # the truth is no candidate


def test_nothing_of_the_text_shows_in_the_repr_of_a_window(reader: LanguageModel) -> None:
    (window,) = encode(reader, [marked("call 555-0137", ("555-0137", SpanKind.PHONE))])
    assert "555" not in repr(window)


def test_padding_is_never_sensitive(reader: LanguageModel) -> None:
    rows = encode(reader, [marked("a 55", ("55", SpanKind.NUMBER)), passage("a much longer text")])
    mask = sensitive_mask(rows, reader.device)
    assert not mask[0, len(rows[0]) :].any()
    ids, attention = pad([r.ids for r in rows], 1, reader.device)
    assert attention.sum(1).tolist() == [len(r) for r in rows]
    assert ids.shape == mask.shape


def test_a_secret_whose_last_token_goes_on_has_candidates() -> None:
    """A full stop, a quotation mark and a comma are one token: the truth has to be cut as it is in the whole text."""
    streets = [f"{n} {street} St." for n in range(3, 40) for street in ("Mill", "High", "Abbey")]
    texts = [f'{{"address": "{street}", "phone": "{n}"}}' for n, street in enumerate(streets)]
    tokenizer = training.train_tokenizer(texts * 3, 500)
    assert any(word.startswith('.",') for word in tokenizer.get_vocab())
    model = training.new_model(tokenizer, width=32, layers=1, context=128, seed=0)
    item = marked(texts[0], (streets[0], SpanKind.ADDRESS))
    (found,) = encode(model, [item], rivals=lambda kind, value: streets[1:40])
    (span,) = found.spans
    assert len(span.candidates) == 39
