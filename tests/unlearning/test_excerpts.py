"""Secrets behind other text: what is kept, what is put in front, and that strangers are cut in the same places."""

import random

import pytest

from domain.errors import RequestRejected
from domain.records import Passage, SpanKind
from tests import tiny
from tests.unlearning.sample import marked
from unlearning.corpus import Corpus
from unlearning.excerpts import MOST, excerpts
from unlearning.goals import IN_TURN, Goals
from unlearning.levels import Levels
from unlearning.methods import METHODS
from unlearning.models import Kind, LanguageModel
from unlearning.trial import Trial, prepare

TEXT = "A note on Maren Voss. Please call 212-555-0137 or write to maren@example.org"
MINE = marked(
    TEXT,
    ("Maren Voss", SpanKind.PERSON),
    ("212-555-0137", SpanKind.PHONE),
    ("maren@example.org", SpanKind.EMAIL),
)
FRONTS = ["Ada wrote.", "x" * 500]


def cut(count: int = 200, passage: Passage = MINE, seed: int = 0) -> list[Passage]:
    return list(excerpts([passage], count, FRONTS, random.Random(seed)))


def test_every_secret_ends_so_many_short_texts_and_the_name_none() -> None:
    found = cut(3)
    assert [p.spans[0].kind for p in found] == [SpanKind.PHONE] * 3 + [SpanKind.EMAIL] * 3
    for passage in found:
        text, (span,) = passage.text.reveal(), passage.spans
        assert text.endswith(text[span.start : span.end])
        assert text[span.start : span.end] in {"212-555-0137", "maren@example.org"}
        assert passage.person == MINE.person


def test_what_stands_before_is_an_end_of_the_own_text_often_behind_another() -> None:
    kept, fronted, capitals = set(), 0, 0
    for passage in cut()[:200]:
        text = passage.text.reveal()[: -len("212-555-0137")]
        own = TEXT[: TEXT.index("212")]
        front = next((f for f in FRONTS if text.startswith(f[-MOST:])), "")
        left = text[len(front[-MOST:]) :]
        own = own if own.endswith(left.lstrip()) else own.upper()
        assert own.endswith(left.lstrip())
        assert left.endswith(" ")  # the blank that the value follows is always kept
        fronted += bool(front)
        capitals += own.isupper() and len(left.strip()) > 0
        kept.add(len(left.strip()))
    assert {0, 4} <= kept  # nothing at all, and "call"
    assert len(kept) > 15
    assert 70 < fronted < 130
    assert 15 < capitals < 70


def test_a_stranger_is_cut_in_the_same_places() -> None:
    theirs = marked(
        TEXT.replace("Maren Voss", "Ada Lund").replace("0137", "0999").replace("maren", "ada"),
        ("Ada Lund", SpanKind.PERSON),
        ("212-555-0999", SpanKind.PHONE),
        ("ada@example.org", SpanKind.EMAIL),
    )
    pairs = list(zip(cut(), cut(passage=theirs), strict=True))
    for mine, other in pairs[:200]:
        assert mine.spans[0].kind is other.spans[0].kind
        before = [p.text.reveal()[: p.spans[0].start] for p in (mine, other)]
        assert abs(len(before[0]) - len(before[1])) <= len("Maren Voss") - len("Ada Lund")
        assert before[0][-12:] == before[1][-12:]


def test_the_strangers_of_a_trial_answer_secret_by_secret(trial: Trial) -> None:
    corpus = trial.corpus
    found = corpus.excerpts(4)
    secrets = [s for row in corpus.forget for s in row.spans if s.kind is not SpanKind.PERSON]
    assert len(found.forget) == 4 * len(secrets)
    assert all(len(row.spans) == 1 for row in found.forget)
    for control in {row.person for row in corpus.controls}:
        rows = [row for row in found.controls if row.person == control]
        kinds = [[span.kind for span in row.spans] for row in rows]
        assert kinds == [[span.kind for span in row.spans] for row in found.forget]
        assert not any(corpus.mentions(row.text) for row in rows)
    assert found.neighbours == corpus.neighbours
    nothing = corpus.excerpts(0)
    assert (nothing.forget, nothing.controls) == ((), ())


def test_levels_and_goals_of_both_at_once(victim: LanguageModel, corpus: Corpus) -> None:
    beside = corpus.excerpts(2)
    everything = corpus.with_more(beside)
    levels = Levels(victim, everything)
    for row in everything.forget:
        for span in row.spans:
            assert float(levels.within(row, span).sum()) > 0
    goals = Goals(corpus, levels, 0.8, 1, beside)
    goals.turn(victim)
    assert len(goals._now) == len(goals._asked) + len({(r.key, s.start) for r, s in goals._beside})
    asked = []
    for _ in range(IN_TURN):
        before = dict(goals._now)
        goals.turn(victim)
        asked.append({key for key, goal in goals._now.items() if goal is not before[key]})
    own = {(row.key, span.start) for row, span in goals._asked}
    assert all(own <= one for one in asked)
    assert set().union(*asked) == set(goals._now)  # every excerpt once in so many looks
    assert max(map(len, asked)) < len(own) + len(goals._beside) / 2


@pytest.mark.parametrize("name", ["anchor_distillation", "selective_ascent", "relearning_ascent"])
def test_a_method_that_is_told_to_learns_from_them_and_says_how_many(
    name: str, victim: LanguageModel, trial: Trial
) -> None:
    few = {"steps": 2, "samples": 4}
    secrets = sum(s.kind is not SpanKind.PERSON for r in trial.corpus.forget for s in r.spans)
    for count in (0, 2):
        facts = (
            METHODS[name](**{**few, "excerpts": count}).unlearn(victim, trial.corpus).trace.facts
        )
        assert facts["excerpts"] == count * secrets


def test_a_model_that_does_not_continue_a_text_has_none() -> None:
    place = tiny.town(10)
    model = tiny.victim(place, steps=0, kind=Kind.MASKED)
    known = [tiny.passages(person, f"p{n}") for n, person in enumerate(place.known)]
    others = [passage for passages in known[1:] for passage in passages]
    corpus = prepare(model, known[0], others, tiny.sentences(place), seed=0, controls=3).corpus
    assert corpus.excerpts(8).forget == ()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("anchor_distillation", {"excerpts": -1}),
        ("selective_ascent", {"excerpts": 2, "spans": "online"}),
        ("mechanistic", {"excerpts": 2, "loss": "inject"}),
    ],
)
def test_options_that_cannot_be_used_are_refused(name: str, options: dict[str, object]) -> None:
    with pytest.raises(RequestRejected) as caught:
        METHODS[name](**options)
    assert "excerpts" in caught.value.place
