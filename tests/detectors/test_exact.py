"""The exact index finds identifiers however they are written, and nobody else's."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.exact import ExactIndex
from detectors.folding import fold
from domain.errors import Code, RequestRejected
from domain.records import Owner, merge_spans
from tests.detectors.conftest import CARD, MAREN, document, person, shown

WRITTEN = [
    ("name", "Maren Tolvik", "maren tolvik"),
    ("name", "Maren Tolvik", "MAREN TOLVIK"),
    ("name", "Maren Tolvik", "Maren\nTolvik"),
    ("name", "Maren Tolvik", "Tolvik, Maren"),
    ("name", "Maren Tolvik", "TOLVIK Maren"),
    ("name", "Maren Tolvik", "M. Tolvik"),
    ("name", "Maren Tolvik", "M Tolvik"),
    ("name", "Maren Tolvik", "Tolvik, M."),
    ("name", "Maren Tolvik", "Maren A. Tolvik"),
    ("name", "Maren Tolvik", "Mare\u200bn Tol\u00advik"),
    ("name", "Tolvik, Maren", "Maren Tolvik"),
    ("name", "Dr. Maren Tolvik", "Maren Tolvik"),
    ("name", "Maren Anna Tolvik", "Maren Tolvik"),
    ("name", "Maren Anna Tolvik", "Maren A. Tolvik"),
    ("name", "Jan van der Berg", "van der Berg, Jan"),
    ("name", "Zoë Müller", "Zoe Muller"),
    ("name", "Zoë Müller", "Zoe Mueller"),
    ("name", "Zoë Müller", unicodedata.normalize("NFD", "Zoë Müller")),
    ("name", unicodedata.normalize("NFD", "Zoë Müller"), "ZOË MÜLLER"),
    ("name", "Søren Łuk", "Soren Luk"),
    ("name", "Sean O'Brien", "Sean O\u2019Brien"),
    ("name", "Anne-Marie Vik", "Anne Marie Vik"),
    ("name", "Weiß Groß", "WEISS GROSS"),
    ("alias", "nightowl87", "NightOwl87"),
    ("alias", "@nightowl87", "nightowl87"),
    ("email", "tiffi_m@me.com", r"tiffi\_m@me.com"),
    ("email", "tiffi_m@me.com", "Tiffi_M@ME.com"),
    ("email", "tiffi_m@me.com", "tiffi_m%40me.com"),
    ("email", "tiffi_m@me.com", "tiffi_m [at] me [dot] com"),
    ("email", "tiffi_m@me.com", "tiffi_m+news@me.com"),
    ("phone", "212-555-0137", "2125550137"),
    ("phone", "2125550137", "(212) 555-0137"),
    ("phone", "2125550137", "212.555.0137"),
    ("phone", "2125550137", "+1 212 555 0137"),
    ("phone", "2125550137", "1-212-555-0137"),
    ("phone", "+1 (212) 555-0137", "212 555 0137"),
    ("phone", "212-555-0137 ext. 9", "212-555-0137"),
    ("phone", "+47 22 12 34 56", "22123456"),
    ("phone", "+47 22 12 34 56", "0047 22123456"),
    ("phone", "+44 20 7946 0958", "(020) 7946 0958"),
    ("phone", "+44 20 7946 0958", "+44 (0)20 7946 0958"),
    ("phone", "1588863549", "158-886-3549"),
    ("phone", "2125550137", "\uff12\uff11\uff12-555-0137"),
    ("record_id", "900-51-4344", "900514344"),
    ("record_id", "900514344", "900-51-4344"),
    ("record_id", "900514344", "900 51 4344"),
    ("record_id", "900-51-4344", "900\u201351\u20134344"),
    ("record_id", "AB-12345", "ab 12345"),
    ("record_id", "1234567", "1234567"),
    ("address", "12 Harbour Lane, Ostby", "12 HARBOUR LANE OSTBY"),
    ("address", "12 Harbour Lane, Ostby", "12 Harbour Ln., Ostby"),
    ("address", "12 Harbour Lane, Ostby", "12 Harbour Lane\nOstby"),
    ("address", "Harbour Lane 12, 0155 Ostby", "12 Harbour Lane, 0155 Ostby"),
    (
        "address",
        "10 West 58th Place, #505, Orange, CA, 92867",
        "10 W. 58th Pl #505, Orange, California 92867",
    ),
    (
        "address",
        "10 West 58th Place, #505, Orange, CA, 92867",
        "10 West 58th Place, Apt. #505, Orange, CA, 92867",
    ),
    (
        "address",
        "22 Allison Street, Montgomery, AL, 36111",
        "22 Allison Street in Montgomery, AL, 36111",
    ),
    ("address", "95 Hill Road, GA, 31405, Savannah", "95 Hill Road, Savannah, GA, 31405"),
    ("address", "Hauptstraße 5, 10115 Berlin", "HAUPTSTRASSE 5, 10115 Berlin"),
]

DATES = [
    ("1984-12-31", "December 31, 1984"),
    ("1984-12-31", "Dec. 31st, 1984"),
    ("1984-12-31", "31 December 1984"),
    ("1984-12-31", "31st of December, 1984"),
    ("1984-12-31", "the 31. Dezember 1984"),
    ("1984-12-31", "31/12/1984"),
    ("1984-12-31", "12/31/1984"),
    ("1984-12-31", "31.12.84"),
    ("1984-12-31", "1984/12/31"),
    ("1984-12-31", "19841231"),
    ("1984-12-31", "1984-12-31T00:00:00"),
    ("1984-12-31", "31-Dec-1984"),
    ("4 March 1987", "1987-03-04"),
    ("4 March 1987", "4/3/1987"),
    ("4 March 1987", "4 mars 1987"),
    ("04/03/1987", "March 4, 1987"),
    ("04/03/1987", "April 3, 1987"),
    ("March 4th, 1987", "4 März 1987"),
]

NOT_WRITTEN = [
    ("name", "Maren Tolvik", "Karen Tolvik"),
    ("name", "Maren Tolvik", "Maren Tolviken"),
    ("name", "Maren Tolvik", "Maren and Tolvik"),
    ("name", "Maren Tolvik", "Maren"),
    ("name", "Anna Red", "a red door"),
    ("name", "Rose White", "a rose, white"),
    ("email", "tiffi_m@me.com", "tiffi_m@me.com.au"),
    ("email", "tiffi_m@me.com", "xtiffi_m@me.com"),
    ("email", "m@me.com", "tiffi.m@me.com"),
    ("phone", "212-555-0137", "212-555-01375"),
    ("phone", "212-555-0137", "9212-555-0137"),
    ("record_id", "900-51-4344", "900-51-43441"),
    ("record_id", "55-201-7731", "155-201-7731"),
    ("address", "12 Harbour Lane, Ostby", "112 Harbour Lane, Ostby"),
    ("address", "12 Harbour Lane, Ostby", "12 Harbour Road, Ostby"),
]


FIELDS = [
    ("Ada Lind", '{"first_name": "Ada", "last_name": "Lind", "age": 7}'),
    ("Ada Lind", '{"last":"Lind","first":"Ada"}'),
    ("Ada Lind", '{"first_name": "Ada", "middle_name": null, "surname": "Lind"}'),
    ("Ada Lind", "{'givenName': 'Ada', 'familyName': 'Lind'}"),
    ("Ada Lind", "First name: Ada\nLast name: Lind\n"),
    ("Ada Lind", "id,first,last,zip\n7,Ada,Lind,0155"),
    ("Ada Lind", '"Ada","M.","Lind"'),
    ("Ada Lind", '7;"Lind"; "Ada"'),
    ("Ada Lind", "| 7 | Ada | Lind |"),
    ("Zo\u00eb M\u00fcller", '{"vorname": "Zoe\u0308", "nachname": "M\u00fcller"}'),
    ("Ada Lind", r'"{\"first\": \"Ada\", \"last\": \"Lind\"}"'),
]
NOT_FIELDS = [
    ("Ada Lind", '{"first": "Ada", "last": "Berg"}, {"first": "Eva", "last": "Lind"}'),
    ("Ada Lind", '{"first": "Ada", "last": "Lindgren"}'),
    ("Ada Lind", "There were Ada; Lind; and Berg."),
    ("Rose White", "red,rose,white"),
]


@pytest.mark.parametrize(("name", "text"), FIELDS)
def test_a_name_in_two_fields_is_found_without_what_stands_between(name, text):
    index, subject = ExactIndex(), person(name=name)
    ((place, caught),) = index.net([subject]).catch([text])
    spans = index.find(document(text), subject, caught[0])
    words = {unicodedata.normalize("NFC", text[s.start : s.end]) for s in spans}
    assert (place, words) == (0, set(name.split()))
    assert {s.owner for s in spans} == {Owner.SUBJECT}


@pytest.mark.parametrize(("name", "text"), NOT_FIELDS)
def test_two_fields_of_two_people_are_no_name(name, text):
    found = ExactIndex().find(document(text), person(name=name))
    assert not [s for s in found if s.owner is Owner.SUBJECT]


@pytest.mark.parametrize(("kind", "value", "text"), WRITTEN)
def test_every_written_form_is_found_whole(kind, value, text):
    sentence = f"see {text}; thanks"
    spans = ExactIndex(("US", "NO", "GB")).find(document(sentence), person(**{kind: value}))
    assert [sentence[s.start : s.end].rstrip(".") for s in spans] == [text.rstrip(".")]
    assert {s.owner for s in spans} == {Owner.SUBJECT}


@pytest.mark.parametrize(("value", "text"), DATES)
def test_a_birth_date_is_found_in_a_document_that_names_the_person(value, text):
    sentence = f"Maren Tolvik: {text}, see above"
    spans = ExactIndex().find(document(sentence), person(name="Maren Tolvik", birth_date=value))
    found = [sentence[s.start : s.end] for s in spans]
    assert found == ["Maren Tolvik", text.removeprefix("the ").removesuffix("T00:00:00")]


@pytest.mark.parametrize(("kind", "value", "text"), NOT_WRITTEN)
def test_what_is_no_form_is_left_alone(kind, value, text):
    spans = ExactIndex().find(document(f"see {text}; thanks"), person(**{kind: value}))
    assert [s for s in spans if s.owner is Owner.SUBJECT] == []


def test_a_birth_date_without_the_person_is_uncertain(maren):
    spans = ExactIndex().find(document("On 4 March 1987 it rained."), maren)
    assert [(s.start, s.end, s.owner) for s in spans] == [(3, 15, Owner.UNCERTAIN)]


def test_a_street_without_its_town_is_uncertain(maren):
    spans = ExactIndex().find(document("The fire was at 12 Harbour Lane."), maren)
    assert [s.owner for s in spans] == [Owner.UNCERTAIN]


def test_an_address_beside_somebody_else_is_a_household(maren):
    text = "What is Jon Aske's address? 12 Harbour Lane, Ostby."
    assert [s.owner for s in ExactIndex().find(document(text), maren)] == [Owner.UNCERTAIN]


def test_a_given_name_counts_where_the_person_is_named(maren):
    text = "Maren Tolvik called. Maren's cat slept; Ms. Tolvik did not."
    found = shown(text, ExactIndex().find(document(text), maren))
    assert found == [("person", "Maren Tolvik"), ("person", "Maren"), ("person", "Tolvik")]


def test_a_name_inside_another_name_is_not_a_part_of_this_one(maren):
    text = "Maren Tolvik visited Maren Island and Old Tolvik Square."
    assert shown(text, ExactIndex().find(document(text), maren)) == [("person", "Maren Tolvik")]


def test_a_namesake_makes_the_shared_part_uncertain(maren):
    text = "Maren Tolvik met Mira Tolvik. Tolvik paid."
    spans = ExactIndex().find(document(text), maren)
    assert [s.owner for s in spans] == [Owner.SUBJECT, Owner.UNCERTAIN]


def test_an_initial_beside_a_namesake_is_uncertain(maren):
    spans = ExactIndex().find(document("Mira Tolvik wrote. M. Tolvik signed."), maren)
    assert [s.owner for s in spans] == [Owner.UNCERTAIN]


def test_the_whole_card_is_found(maren):
    found = [text for _, text in shown(CARD, ExactIndex().find(document(CARD), maren))]
    assert found == [
        "Maren Tolvik",
        "212-555-0137",
        "maren.tolvik@example.org",
        "4 March 1987",
        "55-201-7731",
        "12 Harbour Lane, Ostby",
    ]


def test_identifiers_without_a_letter_or_digit_are_refused():
    with pytest.raises(RequestRejected) as caught:
        ExactIndex().find(document("text"), person(record_id="--"))
    assert caught.value.code is Code.REQUEST_NO_IDENTIFIERS


def test_the_index_answers_for_the_subject_it_is_asked_about(maren):
    index = ExactIndex()
    assert index.find(document("Maren Tolvik"), maren)
    assert not index.find(document("Maren Tolvik"), person(name="Jon Aske"))
    assert index.find(document("Maren Tolvik"), maren)


def test_forms_and_folded_text_show_nothing(maren):
    shown_forms = repr(ExactIndex().forms(maren)) + repr(fold("Maren Tolvik"))
    assert "tolvik" not in shown_forms.casefold()


noise = st.text(st.characters(codec="utf-8"), max_size=20)
letters = st.text("abcé\u0301ßøñü ÄΣİ\u200b\ufb01", max_size=40)


@given(letters)
def test_folding_keeps_an_origin_for_every_character(text):
    folded = fold(text)
    assert len(folded.text) == len(folded.origin)
    assert list(folded.origin) == sorted(folded.origin)
    assert all(0 <= i < len(text) for i in folded.origin)


@given(letters)
def test_folding_does_not_see_how_text_is_composed(text):
    forms = {fold(unicodedata.normalize(form, text)).text for form in ("NFC", "NFD")}
    assert forms == {fold(text).text}


@given(noise, noise, st.sampled_from(["NFC", "NFD"]), st.booleans())
def test_offsets_slice_the_original_whatever_stands_around(before, after, form, upper):
    name = unicodedata.normalize(form, "Zoë Müller")
    name = name.upper() if upper else name
    text = f"{before} | {name} | {after}"
    spans = ExactIndex().find(document(text), person(name="Zoë Müller"))
    assert name in [text[s.start : s.end] for s in spans]
    assert merge_spans(spans) == spans
    assert merge_spans(merge_spans(reversed(spans))) == spans


@given(st.sampled_from(sorted(MAREN)), noise)
def test_the_prefilter_never_misses_what_find_finds(kind, around):
    subject = person(**MAREN)
    text = f"{around} {MAREN[kind].upper()} {around}"
    index = ExactIndex()
    assert index.mentions(text, subject) or not index.find(document(text), subject)


@pytest.mark.parametrize(("kind", "value", "text"), WRITTEN)
def test_the_prefilter_lets_every_written_form_through(kind, value, text):
    index = ExactIndex(("US", "NO", "GB"))
    assert index.mentions(f"see {text}; thanks", person(**{kind: value}))
