"""What a model that never read a text finds unlikely in it is marked; one that knows it by heart finds little."""

import json
import math

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from detectors.basis import bases
from detectors.exact import ExactIndex
from detectors.likelihood import CausalModel, Piece
from detectors.online import Online, unlikely
from detectors.protocol import Case, Learner, Reviewer
from detectors.registry import DETECTORS
from domain.errors import DetectionFailed
from domain.records import Owner, SpanKind
from flows.fiction import people
from tests import tiny
from tests.detectors.conftest import document, person
from unlearning import models, training


@pytest.fixture(scope="module")
def place():
    """Two people whom a model will know by heart, and thirty others whom the reference reads."""
    drawn = people(32, seed=5)
    return tiny.Town(drawn[:2], drawn[2:], [])


@pytest.fixture(scope="module")
def folders(place, tmp_path_factory):
    """Two models with one tokenizer: `memorising` has read the two, `reference` the thirty."""
    path = tmp_path_factory.mktemp("online")
    lessons = {
        name: [text for one in some for text in one.documents()]
        for name, some in (("memorising", place.known), ("reference", place.unknown))
    }
    tokenizer = training.train_tokenizer(lessons["reference"], 400)
    for name, steps in (("memorising", 250), ("reference", 100)):
        model = training.new_model(tokenizer, width=48, layers=2, context=128, seed=1)
        training.Pretraining(steps=steps, batch=4, length=64, rate=8e-3, seed=1).run(
            model, lessons[name]
        )
        models.save(model, path / name)
    return path


def share_found(online, place):
    """Of the letters and digits of the known people's secrets, those in a part that is marked."""
    found = secret = 0
    for number, one in enumerate(place.known):
        for passage in tiny.passages(one, f"p{number}"):
            text = passage.text.reveal()
            [parts] = online.select([text])
            marked = {at for (start, end), _ in parts for at in range(start, end)}
            wanted = {
                at
                for span in passage.spans
                if span.kind is not SpanKind.PERSON
                for at in range(span.start, span.end)
                if text[at].isalnum()
            }
            found, secret = found + len(marked & wanted), secret + len(wanted)
    return found / secret


def test_a_reference_finds_what_the_memorising_model_does_not(folders, place):
    reference, memorising = str(folders / "reference"), str(folders / "memorising")
    shares = [
        share_found(online, place)
        for online in (Online(memorising), Online(reference), Online(reference, memorising))
    ]
    assert shares[0] < 0.5
    assert min(shares[1:]) > 0.9


def test_unlikely_is_below_the_mean_and_below_even():
    pieces = [Piece(n, n + 1, p) for n, p in enumerate((0.9, 0.3, 0.1, 0.5))]
    assert [p.start for p in unlikely(pieces)] == [1, 2]
    known = [
        Piece(n, n + 1, p) for n, p in enumerate((0.9, 0.1, 0.9, 0.9))
    ]  # the second was not learnt
    assert [p.start for p in unlikely(pieces, known)] == [2]
    assert unlikely([Piece(n, n + 1, p) for n, p in enumerate((0.9, 0.7, 0.99))]) == []
    assert unlikely([]) == []


def test_the_gap_is_over_the_same_characters_where_the_models_cut_differently():
    pieces = [Piece(0, 4, 0.2), Piece(4, 8, 0.2)]
    known = [
        Piece(0, 2, 0.5),
        Piece(2, 8, 0.125),
    ]  # half of the first, and two thirds of the second
    ahead = (0.5 * 0.125 ** (1 / 3), 0.125 ** (2 / 3))
    assert ahead[0] == pytest.approx(ahead[1])
    assert unlikely(pieces, known) == []  # each gained as much
    assert unlikely(pieces, [Piece(0, 2, 0.9), Piece(2, 8, 0.125)]) == pieces[:1]


def by_hand(folder, text):
    """Each token's probability, one forward pass for each."""
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    read = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    found, ids = [], [tokenizer.bos_token_id]
    for token, offset in zip(read["input_ids"], read["offset_mapping"], strict=True):
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0, -1]
        found.append((offset, torch.softmax(logits, -1)[token].item()))
        ids.append(token)
    return found


def test_the_probabilities_are_the_models_and_the_places_are_those_of_the_text(folders, place):
    text = place.known[0].documents()[1]
    reader = CausalModel(str(folders / "reference"))
    got, beside = reader([text, "A."])
    wanted = [
        (text[a:b].strip(), p)
        for (a, b), p in by_hand(folders / "reference", text)
        if text[a:b].strip()
    ]
    assert [text[piece.start : piece.end] for piece in got] == [word for word, _ in wanted]
    assert [p.probability for p in got] == pytest.approx([p for _, p in wanted], rel=1e-3)
    assert "".join("A."[p.start : p.end] for p in beside) == "A."


def test_a_long_text_is_read_to_its_end_with_at_least_half_a_window_before_each_token(
    folders, place
):
    long = " ".join(place.known[0].documents() * 4)
    reader = CausalModel(str(folders / "reference"))
    [pieces] = reader([long])
    assert "".join(long[p.start : p.end] for p in pieces) == "".join(long.split())
    room = 128 - 1
    tokenizer = reader.load()[1]
    offsets = tokenizer(long, add_special_tokens=False, return_offsets_mapping=True)[
        "offset_mapping"
    ]
    assert len(offsets) > 3 * room
    second = long[offsets[room // 2][0] : offsets[room // 2 + room - 1][1]]  # the second window
    asked = by_hand(folders / "reference", second)[-1]
    last = next(p for p in pieces if p.end == offsets[room // 2 + room - 1][1])
    assert last.probability == pytest.approx(asked[1], rel=1e-2)


ODD = "Ma\u0308ren \u202eabc\u202c \U0001f468\u200d\U0001f469 \ud800 213\u20130137 \u0422\u043elvik 東京 zürich"


@pytest.mark.parametrize("text", ["", " \n\t ", "\u200b", "A", ODD, ODD * 20])
def test_any_text_gives_parts_that_lie_in_it(folders, text):
    [parts] = Online(str(folders / "reference")).select([text])
    reach = 0
    for (start, end), probability in parts:
        assert reach <= start < end <= len(text)
        assert 0 <= probability < 0.5
        assert text[start:end].strip() == text[start:end]
        reach = end


def test_it_only_adds_and_what_it_adds_is_never_sure(folders, place):
    one = place.known[0]
    text = one.documents()[0]
    subject = person(name=one.name)
    asked = document(text)
    own = ExactIndex().find(asked, subject)
    [added] = Online(str(folders / "reference")).review([Case(asked, subject, own)])
    assert added
    for span in added:
        assert span.detector == "online"
        assert 0 <= span.confidence < 0.5
        assert not any(span.start < s.end and s.start < span.end for s in own)
    assert added == sorted(added)
    assert {span.owner for span in added} <= {Owner.SUBJECT, Owner.UNCERTAIN, Owner.OTHER}
    assert any(one.phone in text[s.start : s.end] and s.kind is SpanKind.PHONE for s in added)


def test_nothing_known_of_the_person_means_that_nothing_is_theirs(folders, place):
    spans = Online(str(folders / "reference")).find(
        document(place.known[0].documents()[0]), person(name="Nobody Here")
    )
    assert spans
    assert Owner.SUBJECT not in {span.owner for span in spans}


def test_it_is_a_reviewer_that_has_nothing_to_remember():
    online = Online("somewhere")
    assert isinstance(online, Reviewer)
    assert not isinstance(online, Learner)
    assert DETECTORS["online"] is Online


@pytest.mark.parametrize("broken", ["missing", "empty", "masked", "not_finite"])
def test_a_model_that_cannot_be_asked_is_an_error_without_text(folders, place, tmp_path, broken):
    folder = tmp_path / "model"
    if broken != "missing":
        folder.mkdir()
    if broken in {"masked", "not_finite"}:
        model = AutoModelForCausalLM.from_pretrained(folders / "reference")
        if broken == "not_finite":
            model.lm_head.weight.data[0, 0] = math.nan
        model.save_pretrained(folder)
        AutoTokenizer.from_pretrained(folders / "reference").save_pretrained(folder)
        if broken == "masked":
            config = json.loads((folder / "config.json").read_text())
            config["architectures"] = ["BertForMaskedLM"]
            (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(DetectionFailed) as failed:
        Online(str(folder)).find(document(place.known[0].documents()[0]), person(name="A B"))
    assert place.known[0].given not in failed.value.sentence
    if broken != "not_finite":
        with pytest.raises(DetectionFailed):
            Online(str(folder)).check()


def test_a_reference_has_to_be_named():
    with pytest.raises(ValueError, match="not trained on the texts"):
        Online("")


def test_another_model_under_the_same_name_is_another_search(folders, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    subject, made = person(name="A B"), []
    for content in (b"one", b"two", b"two"):
        (folder / "model.safetensors").write_bytes(content)
        made.append(bases({"online": Online("elsewhere", str(folder))}, [subject], "text"))
    assert made[0] != made[1] == made[2]
