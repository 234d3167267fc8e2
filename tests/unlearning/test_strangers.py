"""Lookalikes have the form of the truth and are never the truth; a stranger is one person in all passages."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.months import NAMES
from domain.records import Passage, SpanKind
from flows.fiction import Person, passages, people
from tests.unlearning.conftest import Town
from tests.unlearning.sample import marked, said
from unlearning.controls import strangers
from unlearning.lookalikes import Pool, chunks, form, ranked_among

NUMBERS = [f"{n:03d}-{(7 * n) % 1000:03d}" for n in range(100, 120)]


def pool_of(values: list[str], kind: SpanKind = SpanKind.PHONE) -> Pool:
    return Pool.of([marked(f"call {v} now", (v, kind)) for v in values])


@given(st.text())
def test_chunks_joined_are_the_value_again(value: str) -> None:
    assert "".join(chunks(value)) == value


@given(st.integers(0, 10**6), st.sampled_from([*NUMBERS, "999-999"]))
def test_lookalikes_have_the_form_of_the_truth_and_are_never_it(seed: int, truth: str) -> None:
    found = pool_of(NUMBERS).lookalikes(SpanKind.PHONE, truth, 20, random.Random(seed))
    assert truth not in found
    assert len(set(found)) == len(found) == 20
    assert {form(chunks(v)) for v in found} == {form(chunks(truth))}


def test_a_fixed_prefix_stays_fixed_in_every_lookalike() -> None:
    pool = pool_of([f"900-{n}" for n in range(10, 40)])
    found = pool.lookalikes(SpanKind.PHONE, "900-77", 20, random.Random(0))
    assert all(v.startswith("900-") for v in found)


def test_a_place_keeps_its_postcode_and_the_street_is_new() -> None:
    """What goes together in the world goes together in the lookalikes, or the truth would be told by it."""
    towns = {"Glenmoor": "853", "Tarnside": "995", "Halden": "010"}
    others = [
        f"{200 + 37 * n} {street}, {town}, {code}{n % 7}{n % 5}"
        for n, street in enumerate(["Mill Road", "Oak Lane", "Elm Court", "High Street"] * 6)
        for town, code in [list(towns.items())[n % 3]]
    ]
    pool = pool_of(others, SpanKind.ADDRESS)
    found = pool.lookalikes(
        SpanKind.ADDRESS, "77 Zuvexi Road, Tarnside, 99548", 60, random.Random(0)
    )
    assert len(found) == 60
    for value in found:
        street, town, code = value.split(", ")
        assert code.startswith(towns[town])
        assert street.endswith(" Road")
        assert "Zuvexi" not in street
    assert {value.split(", ")[1] for value in found} == set(towns)


@pytest.mark.parametrize(
    ("truth", "least", "most"),
    [
        ("77 Mill Road, Glenmoor", 1.0, 1.0),  # that street in that town is somebody's: so are all
        ("77 Oak Lane, Halden", 0.0, 0.5),  # the street is one person's, the town another's
        ("77 Mill Lane, Halden", 0.0, 0.5),  # so are the two words of the street
    ],
)
def test_what_nobody_has_in_one_piece_meets_few_pieces_that_somebody_has(
    truth: str, least: float, most: float
) -> None:
    """The model knows those by heart: among them alone a new combination would rank last, erased or not."""
    streets, towns = ["Mill Road", "Oak Lane", "Elm Court"], ["Glenmoor", "Tarnside", "Halden"]
    others = [f"{n} {streets[n % 3]}, {towns[n % 3]}" for n in range(12, 60)]
    pool = pool_of(others, SpanKind.ADDRESS)
    found = pool.lookalikes(SpanKind.ADDRESS, truth, 100, random.Random(0))
    read = {value[3:] for value in others}
    assert least <= sum(value[3:] in read for value in found) / len(found) <= most


def test_a_digit_that_nobody_has_meets_digits_that_nobody_has() -> None:
    """In a place where any may stand; a century is none."""
    pool = pool_of([f"{a}{b}-19{b}{a}" for a in "1234" for b in "567"])
    found = pool.lookalikes(SpanKind.PHONE, "98-2098", 30, random.Random(0))
    assert {value[0] for value in found} <= set("056789")
    assert {value[3:5] for value in found} == {"19"}


@pytest.mark.parametrize("others", [1, 4, 7])
def test_where_few_share_a_form_words_stay_words_and_separators_what_they_are(others: int) -> None:
    """Numbers are drawn from others' of that length, whatever else is as long as one."""
    whole = "2313 South 4th Street, Thunderbolt, GA, 31404"
    asked, *rest = [(whole, SpanKind.ADDRESS)], *(values(p) for p in people(others + 3, 7))
    pool = Pool.of([marked(v, (v, k)) for known in rest[3:] for v, k in known])
    for known in (asked, *rest[:3]):
        for truth, kind in known:
            found = pool.lookalikes(kind, truth, 40, random.Random(1))
            assert {form(chunks(v)) for v in found} == {form(chunks(truth))}


@pytest.mark.parametrize(
    ("truth", "others", "drawn"),
    [
        (  # English as the others are: November is a month in four languages
            "23 November 1967",
            ["4 May 1950", "9 March 1961"],
            set("january february april june july august september october december".split()),
        ),
        (
            "23 NOV 1967",
            [f"{n} {m} 1950" for n, m in enumerate("Jan Feb Mar Apr May Jun Jul Aug Sep".split())],
            set("jan feb mar apr may jun jul aug sep oct dec".split()),
        ),
    ],
)
def test_a_month_becomes_another_month_which_nobody_has_where_there_are_enough(
    truth: str, others: list[str], drawn: set[str]
) -> None:
    found = pool_of(others, SpanKind.DATE).lookalikes(SpanKind.DATE, truth, 200, random.Random(0))
    words = {value.split()[1] for value in found}
    assert {word.lower() for word in words} == drawn
    assert all(word.isupper() == truth.split()[1].isupper() for word in words)


def test_a_name_that_is_a_month_becomes_no_month() -> None:
    pool = pool_of(["Anna Holm", "Berta Lind"], SpanKind.PERSON)
    found = pool.lookalikes(SpanKind.PERSON, "April Nord", 50, random.Random(0))
    months = {name for row in NAMES for name in row}
    assert found
    assert not months.intersection(value.split()[0].lower() for value in found)


def values(person: Person) -> list[tuple[str, SpanKind]]:
    return [
        (p.text.reveal()[s.start : s.end], s.kind)
        for p in passages(person, "p")
        for s in p.spans
        if s.kind is not SpanKind.PERSON
    ]


def test_the_same_seed_draws_the_same_rivals() -> None:
    draws = [ranked_among(pool_of(NUMBERS), 30, 5)(SpanKind.PHONE, "101-101") for _ in range(2)]
    assert draws[0] == draws[1]
    assert draws[0] != ranked_among(pool_of(NUMBERS), 30, 6)(SpanKind.PHONE, "101-101")


def test_a_form_with_few_values_gives_few_lookalikes_and_ends() -> None:
    assert len(Pool().lookalikes(SpanKind.NUMBER, "7", 50, random.Random(0))) <= 9


def person() -> list[Passage]:
    return [
        marked(
            "Maren Tolvik, maren.tolvik@example.org, 212-555-0137, (212) 555 0137",
            ("Maren Tolvik", SpanKind.PERSON),
            ("maren.tolvik@example.org", SpanKind.EMAIL),
            ("212-555-0137", SpanKind.PHONE),
            ("(212) 555 0137", SpanKind.PHONE),
        ),
        marked(
            "TOLVIK, M. wrote: 2125550137 is hers",
            ("TOLVIK, M.", SpanKind.PERSON),
            ("2125550137", SpanKind.NUMBER),
        ),
    ]


@pytest.mark.parametrize("seed", range(12))
def test_a_stranger_is_one_person_in_all_passages(seed: int, town: Town) -> None:
    pool = Pool.of(town.neighbours)
    made = strangers(person(), pool, 3, random.Random(seed))
    for label in ("control-000", "control-001", "control-002"):
        first, second = [p for p in made if p.person == label]
        (_, name), (_, mail), (_, dashed), (_, spaced) = said(first)
        (_, turned), (_, bare) = said(second)
        given_name, family = name.split()
        assert mail.startswith(f"{given_name}.{family}@".casefold())
        assert turned == f"{family.upper()}, {given_name[0]}."
        digits = bare
        assert dashed == f"{digits[:3]}-{digits[3:6]}-{digits[6:]}"
        assert spaced == f"({digits[:3]}) {digits[3:6]} {digits[6:]}"
        assert first.text.reveal() == f"{name}, {mail}, {dashed}, {spaced}"
        assert second.text.reveal() == f"{turned} wrote: {bare} is hers"


@pytest.mark.parametrize("seed", range(12))
def test_a_stranger_shares_no_name_and_no_secret_with_anybody_real(seed: int, town: Town) -> None:
    made = strangers(town.members, Pool.of(town.neighbours), 10, random.Random(seed))
    real = {value.casefold() for p in (*town.members, *town.neighbours) for _, value in said(p)}
    words = set(town.place.known[0].name.casefold().split())
    for item in made:
        for kind, value in said(item):
            assert value.casefold() not in real, kind
        assert not words & set(item.text.reveal().casefold().split())


def test_strangers_keep_the_form_of_every_secret_and_the_text_between(town: Town) -> None:
    made = strangers(town.members, Pool.of(town.neighbours), 2, random.Random(0))
    for truth, lookalike in zip([*town.members, *town.members], made, strict=True):
        forms = [[(kind, form(chunks(v))) for kind, v in said(item)] for item in (truth, lookalike)]
        assert forms[0] == forms[1]
        assert between(truth) == between(lookalike)


def between(item: Passage) -> list[str]:
    text, at, pieces = item.text.reveal(), 0, []
    for span in item.spans:
        pieces.append(text[at : span.start])
        at = span.end
    return [*pieces, text[at:]]


def test_the_same_seed_makes_the_same_strangers(town: Town) -> None:
    pool = Pool.of(town.neighbours)
    one, same, other = (strangers(town.members, pool, 4, random.Random(s)) for s in (1, 1, 2))
    assert one == same
    assert one != other


@settings(max_examples=60)
@given(
    st.from_regex(r"[A-Za-z0-9@.ÄöШ-]{1,14}", fullmatch=True).filter(
        lambda v: any(c.isalnum() for c in v)
    ),
    st.sampled_from(list(SpanKind)),
)
def test_with_nobody_else_to_draw_from_a_stranger_still_differs(value: str, kind: SpanKind) -> None:
    item = marked(f"it is {value} indeed", (value, kind))
    item = replace(item, spans=tuple(replace(s, start=6, end=6 + len(value)) for s in item.spans))
    for made in strangers([item], Pool(), 3, random.Random(0)):
        ((_, drawn),) = said(made)
        assert drawn.casefold() != value.casefold()


def test_a_word_that_nobody_else_has_becomes_one_that_nobody_has() -> None:
    """Words of others are known by heart; a stranger made of them would not be a stranger."""
    others = [
        passage
        for n, person in enumerate(people(30, 5)[10:])
        for passage in passages(person, f"p{n}")
    ]
    pool = Pool.of(others)
    order = random.Random(1)
    assert pool.has("example")
    assert not pool.has("zuvexi")
    drawn = [pool.lookalike(SpanKind.EMAIL, "zuvexi94@example.org", order) for _ in range(20)]
    local = [d.split("@")[0][:-2] for d in drawn]
    assert not any(pool.has(word) for word in local)
    assert {len(word) for word in local} == {6}
    assert {d.split("@")[1].split(".")[0] for d in drawn} == {"example"}


@pytest.mark.parametrize("answer", [0, 3, 10, 15, 17, 40, 45])
def test_a_strangers_answer_begins_where_the_persons_does(answer: int) -> None:
    """At the same place of the text around the values; inside a value, no further than that reaches."""
    values = (("Maren Tolvik", SpanKind.PERSON), ("212-555-0137", SpanKind.PHONE))
    whole = marked("I am Maren Tolvik, please do call me: 212-555-0137!", *values)
    item = replace(whole, answer=answer, label=3)
    (other,) = strangers([item], Pool(), 1, random.Random(1))
    assert other.label == 3
    assert other.answer is not None
    ours, theirs = item.text.reveal(), other.text.reveal()
    inside = [n for n, s in enumerate(item.spans) if s.start < answer < s.end]
    if inside:
        span = other.spans[inside[0]]
        assert span.start <= other.answer <= span.end
    else:
        before = [s for s in other.spans if s.end <= other.answer]
        assert len(before) == sum(s.end <= answer for s in item.spans)
        after = ours[answer:].partition("212")[0].partition("Maren")[0]
        assert theirs[other.answer :].startswith(after)


def test_a_number_of_a_length_that_nobody_has_is_not_kept() -> None:
    """Or its digits would stand in the strangers' text and in every candidate, and a model may go on saying them."""
    pool = pool_of([f"{n}-{200 + n}-{4000 + n}" for n in range(300, 340)])
    found = pool.lookalikes(SpanKind.PHONE, "0170 8361942", 40, random.Random(0))
    assert len(found) == 40
    assert not any("8361942" in value for value in found)
    assert all(form(chunks(value)) == form(chunks("0170 8361942")) for value in found)


@pytest.mark.parametrize("others", [0, 3, 40])
@pytest.mark.parametrize("zero", ["\u0660", "\u0966", "0"], ids=["arabic", "devanagari", "latin"])
def test_digits_stay_in_the_script_of_the_truth(zero: str, others: int) -> None:
    def written(digits: str) -> str:
        return "".join(chr(ord(zero) + int(c)) if c.isdigit() else c for c in digits)

    pool = pool_of([written(f"{300 + 7 * n}-{4000 + 13 * n}") for n in range(others)])
    truth = written("921-8365")
    found = pool.lookalikes(SpanKind.PHONE, truth, 20, random.Random(0))
    assert len(found) == 20
    script = set(written("0123456789")) | {"-"}
    assert all(set(value) <= script for value in found)
    made = [
        said(p)
        for p in strangers(
            [marked(f"call {truth}", (truth, SpanKind.PHONE))], pool, 3, random.Random(1)
        )
    ]
    assert all(set(value) <= script for ((_, value),) in made)


@pytest.mark.parametrize("others", [2, 20])
def test_capitals_stay_capitals_and_the_truth_in_other_letters_is_no_candidate(others: int) -> None:
    streets = ["Mill Lane", "Oak Lane", "Elm Lane", "High Lane"]
    pool = pool_of(
        [f"{12 + n % 3} {streets[n % 4]}, {('Oslo', 'Bergen')[n % 2]}" for n in range(others)],
        SpanKind.ADDRESS,
    )
    found = pool.lookalikes(SpanKind.ADDRESS, "12 MILL LANE, OSLO", 20, random.Random(0))
    assert found
    assert all(value.isupper() and value != "12 MILL LANE, OSLO" for value in found)


@pytest.mark.parametrize("truth", ["7²-99", "5²²4", "³8", "12 m²", "½ Ⅷ", "①③4"])
@pytest.mark.parametrize("other", ["5²-{}", "{0}²²{0}", "²{}", "{} m² ½ Ⅷ", "①②{}"])
def test_raised_and_circled_digits_are_signs_and_not_numbers(truth: str, other: str) -> None:
    """They count as digits and are none that can be calculated with: a traceback would show the value."""
    pool = pool_of([other.format(n) for n in range(20)])
    found = pool.lookalikes(SpanKind.PHONE, truth, 10, random.Random(0))
    assert truth not in found
    made = strangers(
        [marked(f"it is {truth} so", (truth, SpanKind.PHONE))], pool, 3, random.Random(1)
    )
    assert all(value != truth for passage in made for _, value in said(passage))


def test_a_pool_in_a_traceback_or_a_log_shows_no_value(town: Town) -> None:
    pool = Pool.of(town.neighbours)
    values = [value for kind in pool.by_kind for value in pool.by_kind[kind]]
    assert values
    drawn = pool._mould(SpanKind.PHONE, pool.by_kind[SpanKind.PHONE][0])
    for shown in (repr(pool), repr(drawn), repr(list(drawn.pieces))):
        assert not any(value in shown for value in values)
