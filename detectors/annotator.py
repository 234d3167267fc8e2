"""A language model reads the documents in which the person was found, and adds what no pattern knows.

Two stages, after SeUL (Wang et al., arXiv 2402.05813): propose every part that may be private, then judge each one in
its context. The model only ever adds. What the other detectors are sure of stays as it is, character by character,
whatever a document talks the model into; and a document that has it mark more than a share of itself stops the search.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar, cast

from detectors.annotation import Backend, Judgement, MalformedError, NoAnswerError, Part
from detectors.chat import Chat
from detectors.endpoint import check_endpoint
from detectors.protocol import Case
from detectors.reviewing import pieces_outside
from detectors.scoring import Scoring
from detectors.served import Served
from domain.errors import Code, DetectionFailed
from domain.records import (
    Document,
    IdentifierKind,
    Owner,
    SensitiveSpan,
    SpanKind,
    Subject,
    merge_spans,
)

Answer = TypeVar("Answer", list[Part], Judgement)
_SHORT = 120  # characters that may be marked in any document, however short
_KEPT = 1 << 16  # answers


@dataclass(frozen=True)
class Annotator:
    """A language model's second look: what identifies the person without being an identifier.

    Args:
        backend: `chat`, an OpenAI-compatible endpoint; or `scoring`, a small model that judges what has the looks of
            something private: in a folder, or behind `transformers serve` where there is an endpoint.
        model: its name at the endpoint, or its folder.
        endpoint: base URL of the server. On another machine only where `remote` names its host.
        remote: hosts to which documents may be sent.
        key_variable: the environment variable with the endpoint's key; empty for none.
        threshold: confidence from which a part is the subject's.
        uncertain: confidence from which it is shown to a person.
        share: of a document that may be marked beyond what the other detectors found.
        window: characters of a document in one question.
        overlap: characters that two windows share.
        context: characters before and behind a part that is judged.
        threads: questions at a time.
        timeout: seconds for one answer.
        budget_tokens: of all questions and answers of one run.

    """

    backend: str
    model: str
    endpoint: str = ""
    remote: tuple[str, ...] = ()
    key_variable: str = ""
    threshold: float = 0.7
    uncertain: float = 0.3
    share: float = 0.5
    window: int = 6000
    overlap: int = 600
    context: int = 600
    threads: int = 4
    timeout: float = 60.0
    budget_tokens: int = 2_000_000
    _reader: list[Backend] = field(default_factory=list, init=False, repr=False, compare=False)
    _kept: dict[str, list[Part] | Judgement] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    name = "annotator"

    def __post_init__(self) -> None:
        if self.backend not in {"chat", "scoring"} or not self.model:
            raise ValueError("the backend is chat or scoring, and has a model")
        if not 0 < self.uncertain <= self.threshold <= 1 or not 0 < self.share < 1:
            raise ValueError("0 < uncertain <= threshold <= 1, and 0 < share < 1")
        if not 0 <= self.overlap < self.window or self.context < 0:
            raise ValueError("0 <= overlap < window, and no context below 0")
        if min(self.threads, self.timeout, self.budget_tokens) <= 0:
            raise ValueError("threads, timeout and budget are above 0")
        if self.backend == "scoring" and not self.endpoint:
            self._reader.append(Scoring(self.model))
            return
        check_endpoint(self.endpoint, self.remote)
        chat = Chat(self.endpoint, self.model, self.key_variable, self.timeout, self.budget_tokens)
        self._reader.append(chat if self.backend == "chat" else Served(chat))

    def find(self, document: Document, subject: Subject) -> list[SensitiveSpan]:
        """What the model marks in one document of which nothing is known yet. Raises as `review`."""
        return self.review([Case(document, subject, ())])[0]

    def review(self, cases: Sequence[Case]) -> list[list[SensitiveSpan]]:
        """What the model adds to each of these documents, disjoint and sorted.

        Parts that are already the subject's or surely somebody else's are left out. Parts whose owner was UNCERTAIN are
        judged like those that the model proposed, and can become the subject's.

        Raises:
            DetectionFailed: no answer, an answer that is malformed twice, more marked than `share`, or the budget is
                used up. Answers until then are kept in memory: the same documents are not asked about again.

        """
        with closing(self._reader[0]), ThreadPoolExecutor(self.threads) as pool:
            windows = [
                (case, at) for case in cases for at in self._windows(len(case.document.text))
            ]
            proposed = pool.map(partial(_apply, self._propose), windows)
            parts: dict[int, set[Part]] = {}
            for (case, (offset, _)), found in zip(windows, proposed, strict=True):
                several = parts.setdefault(id(case), set())
                several.update((start + offset, end + offset) for start, end in found)
            asked = [
                (case, part)
                for case in cases
                for part in sorted(parts.get(id(case), set()) | _unclear(case))
                if _free(case, part)
            ]
            judged = list(pool.map(partial(_apply, self._judge), asked))
        marked: dict[int, list[SensitiveSpan]] = {id(case): [] for case in cases}
        for (case, part), judgement in zip(asked, judged, strict=True):
            marked[id(case)] += self._spans(case, part, judgement)
        return [self._within_share(case, merge_spans(marked[id(case)])) for case in cases]

    def answers(self) -> bytes:
        """Every answer kept, by the digest of its question: places and scores, no text."""
        return json.dumps(self._kept).encode()

    def resume(self, answers: bytes) -> None:
        """Take answers over from an earlier process. Those to other questions are never used."""
        self._kept.update({digest: _read(a) for digest, a in json.loads(answers).items()})

    def check(self) -> None:
        """Whether the model is there and answers a simple question. Raises `DetectionFailed`."""
        try:
            with closing(self._reader[0]) as reader:
                reader.check()
        except MalformedError as error:
            raise _failed(
                "detector annotator", f"its model gives no usable answer: {error}"
            ) from None
        except NoAnswerError as error:
            raise _failed("detector annotator", str(error)) from None

    def _windows(self, length: int) -> Iterator[Part]:
        """Overlapping windows over a document of this length; one where it fits."""
        start = 0
        while True:
            yield start, min(length, start + self.window)
            if start + self.window >= length:
                return
            start += self.window - self.overlap

    def _propose(self, case: Case, window: Part) -> list[Part]:
        """Stage 1 on one window: its parts, in code points of the window."""
        text = case.document.text.reveal()[slice(*window)]
        people = _names(case.subject)

        def ask() -> list[Part]:
            found = self._reader[0].propose(people, text) if text.strip() else []
            if self.backend == "chat":
                moved = [(start + window[0], end + window[0]) for start, end in found]
                pieces = [piece for part in moved for piece in _free(case, part)]
                if _characters(pieces) > self._most(len(text)):
                    raise MalformedError("it marks more than the policy's share of the document")
            return found

        return self._answer(case, ("propose", *people, text), ask)

    def _judge(self, case: Case, part: Part) -> Judgement:
        """Stage 2 on one part, with the text around it."""
        text, people = case.document.text.reveal(), _names(case.subject)
        first, last = max(0, part[0] - self.context), part[1] + self.context
        at = (part[0] - first, part[1] - first)
        key = ("judge", *people, str(at), text[first:last])
        ask = partial(self._reader[0].judge, people, text[first:last], at)
        return self._answer(case, key, ask)

    def _answer(self, case: Case, key: Sequence[str], ask: Callable[[], Answer]) -> Answer:
        """The kept answer, or a new one; a malformed one gets a second chance."""
        digest = _digest(self._reader[0].identity, *key)
        kept = self._kept.get(digest)
        if kept is not None:
            return cast("Answer", kept)
        place, ref = f"detector annotator at {case.document.ref}", case.subject.request_ref
        try:
            try:
                answer = ask()
            except MalformedError:
                answer = ask()
        except MalformedError as error:
            reason = (
                f"the model's answer was malformed twice ({error}); nothing was searched past it"
            )
            raise _failed(place, reason, ref) from None
        except NoAnswerError as error:
            raise _failed(place, str(error), ref) from None
        self._kept[digest] = answer
        while len(self._kept) > _KEPT:
            self._kept.pop(next(iter(self._kept)), None)
        return answer

    def _spans(self, case: Case, part: Part, judgement: Judgement) -> list[SensitiveSpan]:
        """What a judgement adds: as the subject's, wherever nobody is surely the owner yet; as UNCERTAIN, where nothing
        is known at all.
        """
        if not judgement.private or judgement.score < self.uncertain:
            return []
        sure = judgement.score >= self.threshold
        owner = Owner.SUBJECT if sure else Owner.UNCERTAIN
        known = case.found if not sure else [s for s in case.found if _is_sure(s)]
        ref, kind = case.document.ref, judgement.kind
        return [
            SensitiveSpan(ref, start, end, kind, owner, self.name, judgement.score)
            for start, end in pieces_outside(case.document.text.reveal(), part, known)
        ]

    def _within_share(self, case: Case, spans: list[SensitiveSpan]) -> list[SensitiveSpan]:
        if _characters((s.start, s.end) for s in spans) > self._most(len(case.document.text)):
            raise _failed(
                f"detector annotator at {case.document.ref}",
                "the model marks more than the policy's share of the document; read the document, which may give "
                "orders, and raise detectors.annotator.share if it gives none",
                case.subject.request_ref,
            )
        return spans

    def _most(self, length: int) -> float:
        return max(_SHORT, self.share * length)


def _read(written: list[Any]) -> list[Part] | Judgement:
    """An answer out of JSON: a judgement begins with true or false, parts with a list."""
    if written and isinstance(written[0], bool):
        private, kind, score = written
        return Judgement(private, SpanKind(kind), score)
    return [(start, end) for start, end in written]


def _apply(question: Callable[[Case, Part], Answer], case_and_part: tuple[Case, Part]) -> Answer:
    return question(*case_and_part)


def _names(subject: Subject) -> tuple[str, ...]:
    """What the model is told about the person: names; everything else only where there is none."""
    names = subject.values(IdentifierKind.NAME, IdentifierKind.ALIAS)
    return names or subject.values(*IdentifierKind)


def _unclear(case: Case) -> set[Part]:
    return {(s.start, s.end) for s in case.found if s.owner is Owner.UNCERTAIN}


def _is_sure(span: SensitiveSpan) -> bool:
    return span.owner is not Owner.UNCERTAIN


def _free(case: Case, part: Part) -> list[Part]:
    """The pieces of a part that nobody surely owns yet."""
    known = [s for s in case.found if _is_sure(s)]
    return pieces_outside(case.document.text.reveal(), part, known)


def _characters(parts: Iterable[Part]) -> int:
    """How many characters these parts cover together."""
    covered = reach = 0
    for start, end in sorted(parts):
        covered += max(0, end - max(start, reach))
        reach = max(reach, end)
    return covered


def _digest(*words: str) -> str:
    """SHA-256 over the words, each behind its length."""
    digest = hashlib.sha256()
    for word in words:
        written = word.encode("utf-8", "surrogatepass")
        digest.update(len(written).to_bytes(8, "big") + written)
    return digest.hexdigest()


def _failed(place: str, remedy: str, request_ref: str = "") -> DetectionFailed:
    return DetectionFailed(Code.DETECTOR_BROKE, place=place, remedy=remedy, request_ref=request_ref)
