"""What attacks that ask share: whom they cannot ask, and how they know a value again however it is written."""

import unicodedata
from collections.abc import Sequence

from domain.errors import Code, RequestRejected
from unlearning.models import Kind, LanguageModel


def require_causal(model: LanguageModel, attack: str) -> None:
    """Raise `RequestRejected` for a model that does not continue text."""
    if model.kind is not Kind.CAUSAL:
        raise RequestRejected(
            Code.ATTACK_INAPPLICABLE,
            place=f"attack {attack}",
            remedy=f"it asks models that continue a text; leave it out for a {model.kind} model.",
        )


def require_text(model: LanguageModel, attack: str) -> None:
    """Raise `RequestRejected` for a classifier."""
    if model.kind is Kind.CLASSIFIER:
        raise RequestRejected(
            Code.ATTACK_INAPPLICABLE,
            place=f"attack {attack}",
            remedy="it asks for text, and a classifier says none; leave it out for this model.",
        )


def plain(model: LanguageModel, ids: Sequence[int]) -> str:
    """Letters and digits of what the tokens stand for, without case, spaces or punctuation."""
    text = unicodedata.normalize("NFKC", model.tokenizer.decode(list(ids)))
    return "".join(c for c in text.casefold() if c.isalnum())
