"""Nothing is signed or handed out that holds an identifier of the person: the last look before the
signature.

Three things are looked for in a payload: the identifier as a person reads it (case, accents and
HTML or JSON escapes folded), its bytes in other clothes (base64 at any alignment, hex,
percent-encoding), and the bare digits of a number of seven digits and more. Matches begin and end
at a word's edge, so that "Ann" is not found in "annotated".

Two things cannot be told apart from the product's own text and are left out, on purpose and in
writing: numbers of fewer than five digits (a count of documents may be the same), and a single word
that the product itself writes (a person may be called Mark).
"""

import base64
import html
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote, quote_plus

from domain.errors import Code, EvidenceInvalid
from domain.secrecy import Secret

_JOINTS = re.compile(r"[-_.:/]+")  # what stands for a space in file names and codes
_MIN_DIGITS, _MIN_BARE_DIGITS = 5, 7  # see the docstring; 7 digits: a local phone number
_MIN_ENCODED = 8  # characters of base64 or hex: shorter ones occur in random digests


def refuse_personal_data(
    payloads: Mapping[str, bytes],
    forbidden: Iterable[Secret],
    *,
    own_words: frozenset[str] = frozenset(),
) -> None:
    """Raise `EvidenceInvalid` (PERSONAL_DATA_IN_EVIDENCE) when an identifier occurs in a payload.

    `payloads` maps file names to bytes; the error names the file and nothing that was found.
    `own_words` are words of the product's own fixed texts, casefolded: a one-word identifier among
    them is not looked for as a word.
    """
    identifiers = [secret.reveal().strip() for secret in forbidden]
    for name, payload in payloads.items():
        text = html.unescape(payload.decode("utf-8", "replace"))
        plain, loose, digits = _fold(text), _fold(_JOINTS.sub(" ", text)), _digit_runs(text)
        for identifier in identifiers:
            if (
                _reads(identifier, plain, loose, own_words)
                or any(form in payload for form in _encoded(identifier))
                or _bare_digits(identifier) in digits
            ):
                raise EvidenceInvalid(
                    Code.PERSONAL_DATA_IN_EVIDENCE,
                    place=name,
                    remedy="holds an identifier of the person; nothing was signed",
                )


def words_of(*texts: str) -> frozenset[str]:
    """The casefolded words of fixed texts, for `own_words`."""
    return frozenset(_fold(word) for text in texts for word in re.findall(r"\w+", text))


def _fold(text: str) -> str:
    """Case, accents, compatibility forms and runs of space taken away."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    return " ".join("".join(c for c in plain if not unicodedata.combining(c)).split())


def _reads(identifier: str, plain: str, loose: str, own_words: frozenset[str]) -> bool:
    """Whether a reader finds the identifier in the folded text, or in it with its joints opened."""
    folded = _fold(identifier)
    if not folded or folded in own_words:
        return False
    if not re.search(r"[^\W\d_]", folded):  # a number
        enough = sum(c.isdigit() for c in folded) >= _MIN_DIGITS
        return enough and _between(r"(?<![\w.])", folded, r"(?!\w|\.\d)", plain)
    opened = _fold(_JOINTS.sub(" ", identifier))
    escaped = _fold(json.dumps(identifier)[1:-1])
    return (
        _between(r"(?<!\w)", folded, r"(?!\w)", plain)
        or _between(r"(?<!\w)", escaped, r"(?!\w)", plain)
        or (bool(opened) and _between(r"(?<!\w)", opened, r"(?!\w)", loose))
    )


def _between(before: str, what: str, after: str, text: str) -> bool:
    return re.search(before + re.escape(what) + after, text) is not None


def _encoded(identifier: str) -> Iterator[bytes]:
    """The identifier's bytes as base64, hex and percent-encoding."""
    for written in {identifier, identifier.casefold(), identifier.upper()}:
        raw = written.encode("utf-8", "surrogatepass")
        forms = [raw.hex(), raw.hex().upper()]
        for shift in range(3):
            # the characters of base64 that depend on no neighbouring byte
            coded = base64.b64encode(bytes(shift) + raw).decode()
            core = coded[(shift * 8 + 5) // 6 : (shift + len(raw)) * 8 // 6]
            forms += [core, core.replace("+", "-").replace("/", "_")]
        yield from (form.encode() for form in forms if len(form) >= _MIN_ENCODED)
        for coded in (quote(raw, safe=""), quote_plus(raw, safe="")):
            if coded != written and len(coded) >= _MIN_ENCODED:
                yield coded.encode()


def _bare_digits(identifier: str) -> str:
    """The digits of a number written with separators; empty for anything else."""
    digits = re.sub(r"[\s()./+-]", "", identifier)
    return digits if digits.isdecimal() and len(digits) >= _MIN_BARE_DIGITS else ""


def _digit_runs(text: str) -> frozenset[str]:
    """Every run of digits in the text, with the separators inside it taken out."""
    runs = re.findall(r"(?<![\w.])[+(]?\d[\d ()/+-]*\d(?!\w|\.\d)", text)
    return frozenset(re.sub(r"\D", "", run) for run in runs)
