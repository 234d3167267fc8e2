"""Who writes and who is written to, line by line: headers, quotes, signatures, turns of a chat."""

import re

from detectors.cast import UNKNOWN, Cast, Mention
from detectors.layout import Layout

_CLOSING = re.compile(
    r"(?i)(?:(?:kind|best|warm|many)?\s*(?:regards|wishes|greetings)|(?:yours )?(?:sincerely|faithfully|truly)|best"
    r"|all the best|cheers|thanks|thank you|thx|yours|love|take care|--(?!-))(?!\w)\W*"
)
_HEADER = re.compile(r"(?i)(?:from|sender|reply-to)\s*:")
_RECIPIENT = re.compile(r"(?i)to\s*:")
_GREETING = re.compile(r"(?i)(?:dear|hi|hello|hey|good (?:morning|day|evening))\s[^\n]{0,8}$")
_RULE = re.compile(r"[-_=]{5,}")
_WROTE = re.compile(r"(?i)\b(?:wrote|(?:commented|replied|posted)\b[^.:@]{0,30})\s*:?\s*$")
_INTRODUCED = re.compile(r"(?i)(?:this is|my name is|i am|i'm)\s+$")
_PRESENTS = re.compile(r"(?i),?\s+(?:here\b|speaking\b)")
_TIME = re.compile(r"\d[:.]\d\d")
_BEFORE_TURN = re.compile(r"<?\W*(?:(?=\D*\d)[\w\s:.,/-]{1,28}\W+)?(?:[A-Z][a-z]+ )?")
_TURN = re.compile(r"(?:\s\([^()\n]{1,20}\))?>?:\s|>\s")
_MARK = re.compile('["\u201c\u201d]')
_SAYS = re.compile(r"\s+(?:said|says|asked|replied|added|told|wrote|writes)\b")
_SAID = re.compile(r"\b(?:said|says|asked|replied|added|wrote|writes)\s+$")


class Speakers:
    """The author and the addressee of every line, UNKNOWN where nothing says.

    A message is what stands between two headers or rules, or at one depth of quotes. Its author is
    who the header names, who "wrote", who signed, or who says so; its addressee is greeted, or
    named behind "To:". In a chat each turn is a message to the other one of two.
    """

    def __init__(self, layout: Layout, cast: Cast) -> None:
        self.layout, self.cast, self.text = layout, cast, layout.text
        self.author: dict[int, int] = {}
        self.addressee: dict[int, int] = {}
        for message in self._messages():
            self.author |= dict.fromkeys(message, self._author(message))
            self.addressee |= dict.fromkeys(message, self._addressee(message))
        turns = self._turns()
        self._speaking = {mention.start for mention in turns.values()}
        self._apply(turns)

    def speaks(self, mention: Mention) -> bool:
        """Whether the mention is the name before what somebody says, and no part of it."""
        return mention.start in self._speaking

    def writer(self, place: int) -> int:
        """Who says I here: who is quoted, or the author of the line."""
        number = self.layout.line_at(place)
        line = self.layout.lines[number]
        if len(_MARK.findall(self.text, line.start, place)) % 2:
            quoted = {
                m.person
                for m in self.cast.within(line.start, line.end)
                if _SAYS.match(self.text, m.end)
                or _SAID.search(self.text, max(line.start, m.start - 12), m.start)
            }
            if len(quoted) == 1:
                return quoted.pop()
        return self.author.get(number, UNKNOWN)

    def _turns(self) -> dict[int, Mention]:
        """Who speaks in a line that says so: "[10:31] Ann: ...", "Ann> ...", "Ann, 10:31"."""
        found = {}
        for number, line in enumerate(self.layout.lines):
            inside = self.cast.within(line.start, line.end)
            if not inside:
                continue
            first = inside[0]
            said = _BEFORE_TURN.fullmatch(self.text, line.start, first.start)
            timed = _TIME.search(self.text, line.start, line.end)
            if (said and _TURN.match(self.text, first.end)) or (
                timed and self.cast.named_alone(self.text, line.start, line.end)
            ):
                found[number] = first
        return found

    def _apply(self, turns: dict[int, Mention]) -> None:
        """Each turn lasts to the next one of its block."""
        people = {mention.person for mention in turns.values()}
        if len(people) < 2:
            return
        for number, mention in turns.items():
            others = people - {mention.person}
            for line in range(number, self.layout.block_at(number).stop):
                if line > number and line in turns:
                    break
                self.author[line] = mention.person
                self.addressee[line] = min(others) if len(others) == 1 else UNKNOWN

    def _messages(self) -> list[list[int]]:
        """The numbers of the lines of each message."""
        found: list[list[int]] = []
        opened: dict[int, list[int]] = {}
        for number, line in enumerate(self.layout.lines):
            for depth in [depth for depth in opened if depth > line.depth]:
                del opened[depth]
            if line.depth not in opened or self._begins(number, opened[line.depth]):
                opened[line.depth] = []
                found.append(opened[line.depth])
            opened[line.depth].append(number)
        return found

    def _begins(self, number: int, message: list[int]) -> bool:
        """Whether a message begins in the midst of another one."""
        line = self.layout.lines[number]
        following = self.layout.lines[number + 1 : number + 2]
        if _RULE.match(self.text, line.start, line.end):
            return True
        if self._wrote(number):
            return bool(following) and following[0].depth == line.depth
        return _HEADER.match(self.text, line.start, line.end) is not None and any(
            earlier.start < earlier.end
            and not earlier.key
            and not _RULE.match(self.text, earlier.start)
            for earlier in (self.layout.lines[n] for n in message)
        )

    def _wrote(self, number: int) -> bool:
        line = self.layout.lines[number]
        return _WROTE.search(self.text, line.start, line.end) is not None

    def _author(self, message: list[int]) -> int:
        lines = self.layout.lines
        for number in message:
            if _HEADER.match(self.text, lines[number].start, lines[number].end):
                return self._only(number)
        if self._wrote(message[0]):
            return self._only(message[0])
        if lines[message[0]].depth and message[0] and self._wrote(message[0] - 1):
            return self._only(message[0] - 1)
        signed = self._signed(message)
        return self._introduced(message) if signed == UNKNOWN else signed

    def _signed(self, message: list[int]) -> int:
        """Who is named in or behind a closing phrase, or alone in a line near the end."""
        lines = self.layout.lines
        full = [n for n in message if lines[n].start < lines[n].end and not self._wrote(n)]
        for place, number in enumerate(full):
            end = lines[number].end
            closing = _CLOSING.match(self.text, lines[number].start, end)
            if closing is None:
                continue
            if closing.end() == end and place + 1 < len(full):
                return self._only(full[place + 1])
            if self.cast.named_alone(self.text, closing.end(), end):
                return self._only(number)
        alone = (
            number
            for number in reversed(full[1:])
            if self.cast.named_alone(self.text, lines[number].start, lines[number].end)
        )
        last = next(alone, None)
        return UNKNOWN if last is None else self._only(last)

    def _introduced(self, message: list[int]) -> int:
        """Who says so: "this is Ann Berg", "Ann Berg here"."""
        lines = self.layout.lines
        for mention in self.cast.within(lines[message[0]].start, lines[message[-1]].end):
            before = max(0, mention.start - 16)
            if _INTRODUCED.search(self.text, before, mention.start) or _PRESENTS.match(
                self.text, mention.end
            ):
                return mention.person
        return UNKNOWN

    def _addressee(self, message: list[int]) -> int:
        lines = [self.layout.lines[number] for number in message]
        for line in lines:
            for mention in self.cast.within(line.start, line.end)[:1]:
                if _GREETING.match(self.text[line.start : mention.start]):
                    return mention.person
        for number, line in zip(message, lines, strict=True):
            if _RECIPIENT.match(self.text, line.start, line.end):
                return self._only(number)
        return UNKNOWN

    def _only(self, number: int) -> int:
        """The one person of a line."""
        line = self.layout.lines[number]
        people = self.cast.people(line.start, line.end)
        return people.pop() if len(people) == 1 else UNKNOWN
