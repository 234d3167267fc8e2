"""Ask the model what forms of sentence it knows, before it is made to forget a person in all of them."""

from dataclasses import dataclass

from unlearning.corpus import Corpus
from unlearning.encoding import Encoded
from unlearning.models import LanguageModel
from unlearning.rehearsal import rehearse
from unlearning.tuning import Rehearsed, require_least
from unlearning.unlearned import seeded


@dataclass(frozen=True, kw_only=True)
class Hearing(Rehearsed):
    """Knobs of methods that can forget a person in more forms than the person's own passages have.

    Attributes:
        forms: in how many more forms of sentence each person is forgotten, met in what the model says unasked and in
            other people's passages (`unlearning.transplants`); 0: only as the person's own passages have it.
        the rest: as in `Rehearsed` and `Knobs`.
    """

    forms: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_least(self, forms=0)

    def heard(self, model: LanguageModel, corpus: Corpus) -> tuple[Corpus, list[Encoded] | None]:
        """The corpus with the person in those forms, and what the model said; without `forms` it is not asked."""
        if not self.forms:
            return corpus, None
        with model.evaluating():
            said = rehearse(model, corpus, self.samples, self.length, seeded(corpus.seed))
        return corpus.in_forms_of([r.text for r in (*said, *corpus.neighbours)], self.forms), said
