"""Postal addresses by their looks: house number, street, and what follows up to the postcode."""

from detectors.addresses import STATES
from detectors.letters import CAPITALISED, UPPER

_SUFFIX = (
    "(?:Street|St|Avenue|Ave|Road|Rd|Lane|Ln|Drive|Dr|Court|Ct|Place|Pl|Boulevard|Blvd|Parkway|Pkwy"
    "|Highway|Hwy|Circle|Cir|Terrace|Ter|Square|Sq|Trail|Trl|Way|Crescent|Cres)"
)
_WEAK_SUFFIX = (
    "(?:Loop|Close|Mews|Row|Walk|Gardens|Grove|Hill|Alley|Plaza|Pike|Run|Path|Crossing|Crossover"
    "|Point|Quay|Wharf|Gate|Green|Rise|View|Bend|Cove|Ridge|Broadway)"
)
"""Ways that are also ordinary words."""
_DIRECTION = "(?:North|South|East|West|Northeast|Northwest|Southeast|Southwest|[NS][EW]?|[EW])"
_HOUSE = r"(?<![\w#.,/-])(?<!\d )\d{1,6}(?:[-/]\d{1,4})?[A-Za-z]?"
_STREET_WORD = (
    rf"(?:{CAPITALISED}\.?|(?:[{UPPER}]\.){{2,3}}|[{UPPER}]{{1,3}}\.?|\d{{1,4}}(?:st|nd|rd|th)|\d{{1,3}}\.\d"
    r"|of|the|de|la|du|des|del|di)"
)
_UNIT = (
    r"(?:#?(?i:Apartment|Apt|Unit|Suite|Ste|Floor|Flat|Room|No)\b\.?\s?#?\s?[A-Z0-9][\w-]{0,6}"
    r"|\#\s?[A-Za-z0-9]{1,6}(?:[ -][A-Z0-9]{1,6})?|[A-Z](?=,)|\d{1,5}(?=,))"
)
_STATE = "(?:" + "|".join(s.upper() for s in STATES) + ")"
_CITY = (
    rf"(?:(?:St|Ft|Mt|Pt)\.\s)?{CAPITALISED}"
    rf"(?:[ -](?:{CAPITALISED}|of|on|upon|the|am|an|der)(?!\w)){{0,3}}"
)
_ZIP = r"\d{5}(?:-\d{4})?(?!\d)"
_POSTCODE = (
    r"(?:[A-Z]{1,2}-)?\d{4,5}(?!\d)|[A-Z]{1,2}\d[A-Z\d]?\s?\d[A-Z]{2}(?!\w)|\d{3}\s\d{2}(?!\d)"
)
_COMMA = r"(?:,\s*(?:in\s+)?|\s+in\s+|\s?\n\s?)"
_ENDS = r"(?=\s*(?:[,.;:)\]!?\n\"'\u2019]|$)|\s+[a-z(])"

_PART = rf"(?:{_UNIT}|(?:{_POSTCODE})(?:\s{_CITY})?|{_CITY}(?:\s(?:{_POSTCODE}))?){_ENDS}"
_TAIL = rf"(?:{_COMMA}{_PART}){{0,4}}"
_NAMED = rf"(?:{_STREET_WORD}\s){{1,5}}{_SUFFIX}(?!\w)(?:\.(?=,))?(?:\s{_DIRECTION}(?!\w))?"
_GLUED = (
    rf"[{UPPER}][\w-]*(?:straße|strasse|str\.|gata|gaten|veien|vegen|weg|gasse|platz|allee|laan|straat|vej|gade"
    r"|gatan|vägen|plein)"
)
_PREPOSED = r"(?:rue|avenue|boulevard|place|via|viale|piazza|calle|avenida|plaza|rua|ulica|ul\.)"

US_ADDRESS = (
    rf"{_HOUSE}\s(?:{_STREET_WORD}\s){{0,5}}{_STREET_WORD}(?:\s(?:\d{{1,4}}|[A-Z]\d{{1,3}}[A-Z]?))?(?:{_COMMA}{_UNIT}){{0,2}}"
    rf"(?:{_COMMA}{_CITY},?\s{_STATE},?\s{_ZIP}|{_COMMA}{_STATE},?\s{_ZIP}(?:,\s{_CITY}{_ENDS})?)"
)
STREET_ADDRESS = rf"{_HOUSE}\s{_NAMED}{_TAIL}"
EUROPEAN_ADDRESS = (
    rf"(?<!\w)(?:{_STREET_WORD}\s){{0,2}}{_GLUED}\s\d{{1,4}}\s?[a-zA-Z]?(?!\w){_TAIL}"
    rf"|{_HOUSE},?\s(?i:{_PREPOSED})\s(?:[\w'\u2019-]+\s){{0,4}}{CAPITALISED}{_TAIL}"
)
LOOSE_ADDRESS = (
    rf"{_HOUSE}\s(?:{_STREET_WORD}\s){{0,3}}{CAPITALISED}{_COMMA}{_PART}{_TAIL}"
    rf"|{_HOUSE}\s(?:{_STREET_WORD}\s){{0,4}}{_WEAK_SUFFIX}(?!\w){_TAIL}"
    rf"|(?<!\w)(?:rue|via|viale|piazza|calle|avenida|plaza|rua|ulica|Rue|Via|Viale|Piazza|Calle"
    rf"|Avenida|Plaza|Rua|Ulica)\s(?:[\w'\u2019-]+\s){{0,3}}{CAPITALISED},?\s\d{{1,4}}(?!\w){_TAIL}"
    rf"|(?<!\w){_NAMED}\s\d{{1,4}}[a-zA-Z]?(?!\w){_TAIL}"
)
"""A number and capitalised words: an address only where the words before say so."""
