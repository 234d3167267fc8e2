"""The ways in which a postal address is written."""

import re

from detectors.folding import fold
from detectors.forms import HOLE, Form
from domain.records import SpanKind

_SAME: tuple[tuple[str, ...], ...] = (
    ("street", "st", "str", "strasse"),
    ("avenue", "ave", "av"),
    ("road", "rd"),
    ("lane", "ln"),
    ("drive", "dr"),
    ("court", "ct"),
    ("place", "pl"),
    ("boulevard", "blvd"),
    ("parkway", "pkwy"),
    ("highway", "hwy"),
    ("circle", "cir"),
    ("terrace", "ter", "terr"),
    ("square", "sq"),
    ("trail", "trl"),
    ("crescent", "cres"),
    ("crossing", "xing"),
    ("mount", "mt"),
    ("saint", "st"),
    ("fort", "ft"),
    ("apartment", "apt", "unit", "suite", "ste"),
    ("north", "n"),
    ("south", "s"),
    ("east", "e"),
    ("west", "w"),
    ("northeast", "ne"),
    ("northwest", "nw"),
    ("southeast", "se"),
    ("southwest", "sw"),
)
"""Words that stand for each other, after USPS Publication 28, appendices B and C."""
STREET_WORDS = frozenset(word for several in _SAME for word in several)

STATES: dict[str, str] = dict(
    pair.split(":")
    for pair in [
        "al:alabama",
        "ak:alaska",
        "az:arizona",
        "ar:arkansas",
        "ca:california",
        "co:colorado",
        "ct:connecticut",
        "de:delaware",
        "fl:florida",
        "ga:georgia",
        "hi:hawaii",
        "id:idaho",
        "il:illinois",
        "in:indiana",
        "ia:iowa",
        "ks:kansas",
        "ky:kentucky",
        "la:louisiana",
        "me:maine",
        "md:maryland",
        "ma:massachusetts",
        "mi:michigan",
        "mn:minnesota",
        "ms:mississippi",
        "mo:missouri",
        "mt:montana",
        "ne:nebraska",
        "nv:nevada",
        "nh:new_hampshire",
        "nj:new_jersey",
        "nm:new_mexico",
        "ny:new_york",
        "nc:north_carolina",
        "nd:north_dakota",
        "oh:ohio",
        "ok:oklahoma",
        "or:oregon",
        "pa:pennsylvania",
        "ri:rhode_island",
        "sc:south_carolina",
        "sd:south_dakota",
        "tn:tennessee",
        "tx:texas",
        "ut:utah",
        "vt:vermont",
        "va:virginia",
        "wa:washington",
        "wv:west_virginia",
        "wi:wisconsin",
        "wy:wyoming",
        "dc:district_of_columbia",
    ]
)
_GAP = r"[\s,.;:#/|()\-\\]{1,6}"
_FILLER = r"(?:(?:in|at|apartment|apt|unit|suite|ste|zip|code|floor)\b[\s,.:#]{0,3})?"


def address_forms(value: str) -> list[Form]:
    """Forms of an address: any case, spacing, punctuation and usual abbreviation; later parts in
    any order or missing.

    House number and street must be there. By themselves they do not name a person; with any other
    part of the address they do.
    """
    segments = [re.findall(r"[^\W_]+", fold(s).text) for s in re.split(r"[,;\n]+", value)]
    segments = [s for s in segments if s]
    cores = [s for s in segments if _is_street(s)][:1] or [[w for s in segments[:2] for w in s]]
    if not segments:
        return []
    rest = [word for s in segments if s is not cores[0] and s != cores[0] for word in s]
    number, street = cores[0][0], cores[0][1:]
    if len(cores[0]) > 1 and not number.isdigit() and cores[0][-1].isdigit():
        number, street = cores[0][-1], cores[0][:-1]

    numbered = number.isdigit() and bool(street)

    def written(gap: str, house: str) -> str:
        if not numbered:
            return gap.join(map(_word, cores[0]))
        words = gap.join(map(_word, street))  # both "12 Harbour Lane" and "Harbour Lane 12"
        return rf"(?:{house}{gap}{words}|{words}{gap}{house})"

    def form(pattern: str, confidence: float, *, alone: bool) -> Form:
        return Form(
            SpanKind.ADDRESS,
            rf"(?<![^\W_]){pattern}(?![^\W_])",
            confidence,
            alone,
            anchor=number if number.isdigit() else "",
            digits=True,
            loose=f" {written(' +', HOLE).replace(chr(92) + 's', ' ')} ",
            either=frozenset({number} if numbered else ()),
        )

    core = written(_GAP, number)
    if not rest:
        return [form(core, 0.9, alone=True)]
    one_of = "(?:" + "|".join(sorted({_word(w) for w in rest}, key=len, reverse=True)) + ")"
    part = rf"{_FILLER}{one_of}(?![^\W_])"
    return [
        form(rf"(?:{part}{_GAP})*{core}(?:{_GAP}{part})+", 1.0, alone=True),
        form(rf"(?:{part}{_GAP})+{core}", 1.0, alone=True),
        form(core, 0.7, alone=False),
    ]


def _is_street(words: list[str]) -> bool:
    """Whether a segment has a house number and a word; "1234 Ostby" (postcode first) is taken only
    when it is first.
    """
    return any(w[0].isdigit() for w in words) and any(len(w) > 2 and w.isalpha() for w in words)


def _word(word: str) -> str:
    """A word and what may stand for it."""
    spellings = {word}
    for group in _SAME:
        if word in group:
            spellings.update(group)
    state = STATES.get(word)
    if state:
        spellings.add(state)
    if len(spellings) == 1:
        return re.escape(word)
    ordered = sorted(spellings, key=lambda s: (-len(s), s))
    return "(?:" + "|".join(re.escape(s).replace("_", r"\s") for s in ordered) + ")"
