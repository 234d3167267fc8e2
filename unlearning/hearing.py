"""Ask the model what forms of sentence it knows, before it is made to forget a person in all of them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from unlearning.corpus import Corpus
from unlearning.encoding import Encoded
from unlearning.models import LanguageModel
from unlearning.rehearsal import rehearse
from unlearning.tuning import ForgetLoss, Rehearsed, require_least, tune
from unlearning.unlearned import Unlearned, seeded


@dataclass(frozen=True, kw_only=True)
class Hearing(Rehearsed):
    """Knobs of methods that can forget a person in more forms than the person's own passages have.

    Attributes:
        excerpts: how many excerpts of each secret are forgotten besides, behind other text (`unlearning.excerpts`);
            none of a model that does not continue a text.
        forms: in how many more forms of sentence each person is forgotten, met in what the model says unasked and in
            other people's passages (`unlearning.transplants`); 0: only as the person's own passages have it.
        the rest: as in `Rehearsed` and `Knobs`.
    """

    forms: int = 0
    excerpts: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_least(self, forms=0, excerpts=0)

    def heard(self, model: LanguageModel, corpus: Corpus) -> "Heard":
        """The person in those forms, and the excerpts."""
        found = heard(model, corpus, self.forms, self.samples, self.length)
        return replace(found, excerpts=corpus.excerpts(self.excerpts))

    def tuned(  # noqa: PLR0917  what `tune` takes, once per method
        self,
        method: str,
        model: LanguageModel,
        heard: "Heard",
        forget: ForgetLoss,
        reached: Callable[[Mapping[str, float]], bool],
        facts: Mapping[str, float],
        inside: Iterable[str] = (),
    ) -> Unlearned:
        """`tune` on what was heard, passages and excerpts in every step. Raises `UnlearningFailed` as it does."""
        facts = {
            **facts,
            "transplants": float(heard.transplants),
            "excerpts": float(len(heard.excerpts.forget)),
        }
        more = heard.excerpts.forget
        corpus, said = heard.corpus, heard.said
        return tune(method, model, corpus, self, forget, reached, facts, inside, said, more)


@dataclass(frozen=True)
class Heard:
    """What a method learns from when it has asked the model for forms of sentence.

    Attributes:
        corpus: with the person's passages in all forms in which they are to be forgotten.
        said: what the model said; None: it was not asked.
        transplants: how many of the passages are not the person's own.
        excerpts: the same corpus with excerpts in place of the passages.
    """

    corpus: Corpus
    said: list[Encoded] | None
    transplants: int
    excerpts: Corpus

    @property
    def everything(self) -> Corpus:
        """Passages and excerpts."""
        return self.corpus.with_more(self.excerpts)


def heard(model: LanguageModel, corpus: Corpus, forms: int, samples: int, length: int) -> Heard:
    """The person in so many more forms, from `samples` texts of `length` tokens; for none the model is not asked."""
    if not forms:
        return Heard(corpus, None, 0, corpus.excerpts(0))
    with model.evaluating():
        said = rehearse(model, corpus, samples, length, seeded(corpus.seed))
    wider = corpus.in_forms_of([r.text for r in (*said, *corpus.neighbours)], forms)
    return Heard(wider, said, len(wider.forget) - len(corpus.forget), corpus.excerpts(0))
