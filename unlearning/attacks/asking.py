"""What attacks that ask share: they ask causal models only, and know a value again however it is written."""

import unicodedata
from collections.abc import Sequence

from domain.errors import Code, RequestRejected
from unlearning.models import LanguageModel


def require_causal(model: LanguageModel, attack: str) -> None:
    """Raise `RequestRejected` for a masked model."""
    if model.masked:
        raise RequestRejected(
            Code.ATTACK_INAPPLICABLE,
            place=f"attack {attack}",
            remedy="it asks models that predict the next token; leave it out for a masked model.",
        )


def plain(model: LanguageModel, ids: Sequence[int]) -> str:
    """Letters and digits of what the tokens stand for, without case, spaces or punctuation."""
    text = unicodedata.normalize("NFKC", model.tokenizer.decode(list(ids)))
    return "".join(c for c in text.casefold() if c.isalnum())
