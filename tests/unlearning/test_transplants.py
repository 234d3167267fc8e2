"""Forms of sentence met in what a model says, with the person's name and values in them."""

import random
from pathlib import Path

import pytest

from domain.records import Owner, Passage, SensitiveSpan, SpanKind
from domain.secrecy import Secret
from tests import tiny
from unlearning.methods import METHODS
from unlearning.models import LanguageModel
from unlearning.transplants import transplants
from unlearning.trial import Trial, prepare

MAREN = {"Maren Tolvik": SpanKind.PERSON, "555-0171": SpanKind.PHONE, "88-12": SpanKind.NUMBER}
ODA = {"Oda Brekke": SpanKind.PERSON, "555-0199": SpanKind.PHONE, "34-77": SpanKind.NUMBER}
ELI = {"Eli Strand": SpanKind.PERSON, "555-0142": SpanKind.PHONE}
CARD = "Card of {}: phone {}."


def about(values: dict[str, SpanKind], text: str, person: str) -> Passage:
    """A passage in which each of the values that it holds is a span."""
    spans = [
        SensitiveSpan("a#1", at, at + len(value), kind, Owner.SUBJECT, "test", 1.0)
        for value, kind in values.items()
        if (at := text.find(value)) >= 0
    ]
    return Passage("a#1", Secret(text), tuple(sorted(spans)), person)


MINE = [about(MAREN, "Call Maren Tolvik at 555-0171 about 88-12.", "me")]
THEIRS = [
    about(ODA, "Call Oda Brekke at 555-0199 about 34-77.", "p1"),
    about(ELI, "Call Eli Strand at 555-0142.", "p2"),
]


def poured(*texts: str, count: int = 9, mine: list[Passage] = MINE) -> list[str]:
    found = transplants(texts, mine, THEIRS, count, random.Random(0))
    return [passage.text.reveal() for passage in found]


def test_a_sentence_about_another_becomes_one_about_the_person() -> None:
    assert poured(CARD.format("Oda Brekke", "555-0199")) == [
        CARD.format("Maren Tolvik", "555-0171")
    ]


def test_the_spans_are_where_the_values_stand() -> None:
    text = "Oda Brekke (34-77), that is Oda Brekke, 555-0199"
    (passage,) = transplants([text], MINE, THEIRS, 1, random.Random(0))
    said = passage.text.reveal()
    assert passage.person == "me"
    assert [(said[s.start : s.end], s.kind, s.owner) for s in passage.spans] == [
        ("Maren Tolvik", SpanKind.PERSON, Owner.SUBJECT),
        ("88-12", SpanKind.NUMBER, Owner.SUBJECT),
        ("Maren Tolvik", SpanKind.PERSON, Owner.SUBJECT),
        ("555-0171", SpanKind.PHONE, Owner.SUBJECT),
    ]


def test_the_forms_most_often_met_come_first_and_no_more_than_asked_for() -> None:
    rare = "Rare: Oda Brekke, 555-0199"
    often = [CARD.format("Oda Brekke", "555-0199"), CARD.format("Eli Strand", "555-0142")]
    assert poured(rare, *often, count=1) == [CARD.format("Maren Tolvik", "555-0171")]


@pytest.mark.parametrize(
    "text",
    [
        "Call Oda Brekke at 555-0199 about 34-77.",  # the person's own form
        "Oda Brekke came by.",  # nothing but a name
        "The number is 555-0199.",  # nobody's name
        "Oda Brekke, 555-0199; Eli Strand, 555-0142",  # two people
        "Oda Brekke, 555-01990",  # a longer number than theirs
        "Maren Tolvik, 555-0171",  # nobody whose passages are at hand
    ],
)
def test_other_texts_are_no_forms(text: str) -> None:
    assert poured(text) == []


def test_a_person_without_such_a_value_is_not_put_into_the_form() -> None:
    only_phone = [about(ELI, "Ask Eli Strand, 555-0142", "me")]
    assert poured("Oda Brekke has 34-77", mine=only_phone) == []


def test_each_person_is_put_into_forms_with_values_of_their_own() -> None:
    two = [*MINE, about(ELI, "Ask Eli Strand, 555-0142", "you")]
    text = CARD.format("Oda Brekke", "555-0199")
    assert poured(text, mine=two) == [
        CARD.format("Maren Tolvik", "555-0171"),
        CARD.format("Eli Strand", "555-0142"),
    ]


def test_the_controls_have_the_passages_that_the_person_has() -> None:
    place = tiny.town(10)
    model = tiny.victim(place, steps=0)
    known = [tiny.passages(person, f"p{n}") for n, person in enumerate(place.known)]
    others = [passage for passages in known[1:] for passage in passages]
    trial = prepare(model, known[0][:1], others, tiny.sentences(place), seed=0, controls=3)
    heard = [passage.text.reveal() for passage in others]
    wider = trial.corpus.in_forms_of(heard, 2)
    assert len(wider.forget) == 3
    for control in {row.person for row in wider.controls}:
        rows = [row for row in wider.controls if row.person == control]
        kinds = [[span.kind for span in row.spans] for row in rows]
        assert kinds == [[span.kind for span in row.spans] for row in wider.forget]
        assert not any(trial.corpus.mentions(row.text) for row in rows)
    assert trial.corpus.in_forms_of(heard, 0) is trial.corpus


@pytest.mark.parametrize("name", ["anchor_distillation", "loo_ensemble"])
def test_a_method_that_is_told_to_learns_from_them_and_says_how_many(
    name: str, victim: LanguageModel, trial: Trial, teachers: Path
) -> None:
    own = {"shards": str(teachers)} if name == "loo_ensemble" else {}
    few = {"steps": 2, "samples": 4, "rate": 1e-4, **own}
    for forms, least in ((3, 1), (0, 0)):
        method = METHODS[name](**{**few, "forms": forms})
        facts = method.unlearn(victim, trial.corpus).trace.facts
        assert least <= facts["transplants"] <= forms
