"""What speaks for whom: the cues in their order, and the strongest of what they say."""

import re
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet

from detectors.cast import NOBODY, UNKNOWN, letters
from detectors.folding import fold
from detectors.scene import Evidence, Scene
from detectors.sentences import asked, by_sentence
from detectors.structure import by_lines, by_object, by_table
from domain.records import SensitiveSpan, SpanKind

_NOBODYS = re.compile(
    r"(?i)\b(?:office|ward|reception|switchboard|front desk|hotline|help ?desk|helpline|company|support|school"
    r"|clinic|department)(?:['\u2019]s)?(?: (?:phone|number|line|mail|e-mail|address|is|at|on))*[ :\d()+-]*$"
)
_MAIL_WORD = re.compile(r"[^\W\d_]+")
_ENOUGH = 0.55
_MARGIN = 0.05
_DOUBTED = 0.9


def evidence(scene: Scene, finding: SensitiveSpan) -> Iterator[Evidence]:
    """What speaks for whom: the finding itself, and the smallest part of the text that says
    something.
    """
    yield from _by_spelling(scene, finding)
    if _NOBODYS.search(scene.text, max(0, finding.start - 40), finding.start):
        yield NOBODY, 0.9
    for cue in (by_object, by_table, by_sentence, _by_question, by_lines):
        said = list(cue(scene, finding))
        if said:
            yield from said
            return
    block = scene.layout.block_at(scene.layout.line_at(finding.start))
    if len(scene.of_lines(block)) > 1:
        yield UNKNOWN, 0.5


def strongest(said: Iterable[Evidence], doubted: AbstractSet[int]) -> Evidence:
    """For whom most speaks, and how much, 0 for nothing; UNKNOWN where that is little, or nearly as
    much speaks for another. What speaks for one of the doubted counts less.
    """
    best: dict[int, float] = {}
    for person, share in said:
        weight = share * _DOUBTED if person in doubted else share
        best[person] = max(weight, best.get(person, 0.0))
    ordered = sorted(((share, person) for person, share in best.items()), reverse=True)
    if not ordered:
        return UNKNOWN, 0.0
    share, person = ordered[0]
    close = len(ordered) > 1 and share - ordered[1][0] < _MARGIN
    return (UNKNOWN if share < _ENOUGH or close else person), share


def _by_question(scene: Scene, finding: SensitiveSpan) -> Iterator[Evidence]:
    """The one person whom the question in the line before is about."""
    about = asked(scene, finding)
    if len(about) == 1:
        yield about.pop(), 0.85


def _by_spelling(scene: Scene, finding: SensitiveSpan) -> Iterator[Evidence]:
    """An e-mail address is whose name it spells: two words of it, a word and an initial, a word
    alone, or a word and something else, in this order.
    """
    if finding.kind is not SpanKind.EMAIL:
        return
    local = fold(scene.text[finding.start : finding.end].partition("@")[0]).text
    words = _MAIL_WORD.findall(local)
    joined = "".join(words)
    ends = {joined[:n] for n in range(3, len(joined))} | {
        joined[n:] for n in range(len(joined) - 2)
    }
    shares: dict[int, float] = {}
    for person in scene.cast.fitting({*words, *ends}):
        own = {letters(word) for word in scene.cast.words[person]}
        spelt = sorted((w for w in own if len(w) > 2 and w in joined), key=len, reverse=True)
        rest = joined
        for word in spelt:
            rest = rest.replace(word, "", 1)
        initial = any(rest == word[:1] for word in own.difference(spelt))
        if spelt:
            shares[person] = 0.99 if len(spelt) > 1 or initial else 0.5 if rest else 0.96
    best = max(shares.values(), default=0.0)
    fitting = [person for person, share in shares.items() if share == best]
    if len(fitting) == 1:
        yield fitting[0], best
