"""What a method learns from: the person's passages, other people's, ordinary text, and people never seen."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from domain.errors import Code, UnlearningFailed
from domain.records import Passage
from unlearning.encoding import Encoded
from unlearning.rewards import share_of


def _nowhere(_: str) -> bool:
    return False


Rows = tuple[Encoded, ...]
Forms = Callable[[Iterable[str], int], tuple[Rows, Rows]]
Lesson = str | Passage
"""One text of the training data; a passage where more is known of it: where its answer begins, or its class."""


def words(lesson: Lesson) -> str:
    """The text of it."""
    return lesson if isinstance(lesson, str) else lesson.text.reveal()


@dataclass(frozen=True)
class Corpus:
    """One structure that ascent, neuron editing and ensembles all need.

    Attributes:
        forget: the person's passages; `sensitive` marks the tokens of the name and the secrets.
        neighbours: other people's passages of the same form. They may be in a loss; nobody in them is used for scoring.
        ordinary: text about nobody; may be in a loss.
        controls: people the model never saw, other ones than the attacks compare with: the level of "not known", and
            made-up values that may be said instead.
        names: casefolded words and values that betray the person; text that holds one is not rehearsed.
        references: where the forget passages stand in the corpus, for teachers that must not have seen them.
        originals: the documents behind `references`, as they stand in the corpus: they tell whether a row is still what
            a manifest says.
        texts: gives all text the model was trained on, without the person's spans, to train it again; nothing where
            that is not at hand.
        seed: every random choice of a method comes from it.
        secrets: the values among the names that are no name: a beginning of one betrays the person as well.
        finds: whether the search for the person finds them in a text, in whatever form it knows.
        forms: gives `forget` and `controls` with up to so many more passages of each person, in forms of sentence met
            in the texts (`unlearning.transplants`).
        cut: gives excerpts of `forget` and of `controls`, so many of each secret (`unlearning.excerpts`); causal only.
        selected: the person's passages again, where `sensitive` marks what online selection picked by the probabilities
            of a model that never saw them; empty where nobody asked for it, or there is no such model.
    """

    forget: tuple[Encoded, ...]
    neighbours: tuple[Encoded, ...]
    ordinary: tuple[Encoded, ...]
    controls: tuple[Encoded, ...]
    names: frozenset[str] = field(repr=False)
    references: frozenset[str]
    seed: int
    originals: tuple[Passage, ...] = field(default=(), repr=False)
    texts: Callable[[], Iterable[Lesson]] = field(default=tuple, repr=False, compare=False)
    secrets: frozenset[str] = field(default=frozenset(), repr=False)
    finds: Callable[[str], bool] = field(default=_nowhere, repr=False, compare=False)
    forms: Forms | None = field(default=None, repr=False, compare=False)
    cut: Callable[[int], tuple[Rows, Rows]] | None = field(default=None, repr=False, compare=False)
    selected: tuple[Encoded, ...] = ()

    def in_forms_of(self, texts: Iterable[str], count: int) -> "Corpus":
        """The same with more passages of the person and of the controls; itself where that cannot be had."""
        if self.forms is None or count == 0:
            return self
        forget, controls = self.forms(texts, count)
        return replace(self, forget=forget, controls=controls)

    def excerpts(self, count: int) -> "Corpus":
        """The same with nothing of the person and of the controls but so many excerpts of each of their secrets."""
        forget, controls = self.cut(count) if self.cut and count else ((), ())
        return replace(self, forget=forget, controls=controls)

    def with_more(self, more: "Corpus") -> "Corpus":
        """The same with the passages of both; each stranger keeps the person's order."""
        return replace(
            self,
            forget=(*self.forget, *more.forget),
            controls=(*self.controls, *more.controls),
        )

    def apart(self) -> "list[Corpus]":
        """The same for each person who asks, alone: their passages, and of each stranger those in the same places.

        A stranger whose texts were cut elsewhere keeps all. What betrays any of them is still left out of what is said.
        """
        places: dict[str, list[int]] = {}
        for place, row in enumerate(self.forget):
            places.setdefault(row.person, []).append(place)
        strangers: dict[str, list[Encoded]] = {}
        for row in self.controls:
            strangers.setdefault(row.person, []).append(row)
        found = []
        for own in places.values():
            fits = [
                [rows[place] for place in own] if len(rows) == len(self.forget) else rows
                for rows in strangers.values()
            ]
            mine = tuple(self.forget[place] for place in own)
            controls = tuple(row for rows in fits for row in rows)
            found.append(
                replace(self, forget=mine, controls=controls, forms=None, cut=None, selected=())
            )
        return found

    def mentions(self, text: str) -> bool:
        """Whether a text holds one of the person's names or secrets."""
        folded = text.casefold()
        return any(name in folded for name in self.names)

    def leak(self, text: str) -> float:
        """How much of the person a text gives away: 0 nothing, 1 a name or a whole secret, between them a beginning."""
        if self.mentions(text) or self.finds(text):
            return 1.0
        return share_of(self.secrets, text)

    def require_spans(self) -> None:
        """Raise `UnlearningFailed` when there is nothing to forget."""
        if not any(any(row.sensitive) for row in self.forget):
            raise UnlearningFailed(
                Code.NO_SPANS,
                place="the person's passages",
                remedy="no sensitive token lies in them; check what `lethe locate` finds.",
            )

    def online(self) -> "Corpus":
        """The same, with the tokens that online selection picked to be forgotten.

        Raises `UnlearningFailed` (METHOD_INAPPLICABLE) when nobody selected any.
        """
        if not self.selected:
            raise UnlearningFailed(
                Code.METHOD_INAPPLICABLE,
                place="methods, option spans: online",
                remedy="nothing was selected; name a model that never saw the corpora under references in catalog.yaml "
                "(causal models only), or take the offline spans.",
            )
        return replace(self, forget=self.selected)

    def require_neighbours(self) -> None:
        """Raise `UnlearningFailed` when there is nobody whose records could be protected."""
        if not self.neighbours:
            raise UnlearningFailed(
                Code.NO_NEIGHBOURS,
                place="other people's passages",
                remedy="none of the same form were found, so the damage to others could not be bounded; "
                "add the corpus the model was trained on to the request's scope.",
            )
