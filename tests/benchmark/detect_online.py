"""Online selection on small models: which share of the sensitive tokens each choice of model finds."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from detectors.likelihood import Piece
from detectors.online import Online, unlikely
from domain.records import Passage, SpanKind
from flows.fiction import people
from tests import tiny
from unlearning import models, training

KNOWN, OTHERS = 8, 60
STEPS = {"memorising": 800, "early": 50, "reference": 300}


@dataclass(frozen=True)
class Share:
    """Of the letters and digits of all secrets, and of all that is marked: by single tokens, and by whole words."""

    token_recall: float
    token_precision: float
    recall: float
    precision: float


def measure() -> dict[str, Share]:
    """Train the models and let each of them, and two gaps, mark the people whom the first knows by heart."""
    drawn = people(KNOWN + OTHERS, seed=31)
    known = [p for n, one in enumerate(drawn[:KNOWN]) for p in tiny.passages(one, f"p{n}")]
    texts = {
        "memorising": [passage.text.reveal() for passage in known],
        "reference": [text for one in drawn[KNOWN:] for text in one.documents()],
    }
    tokenizer = training.train_tokenizer(texts["reference"], 420)
    with tempfile.TemporaryDirectory() as folder:
        at = {name: str(Path(folder, name)) for name in STEPS}
        for name, steps in STEPS.items():
            model = training.new_model(tokenizer, width=64, layers=2, context=128, seed=1)
            recipe = training.Pretraining(steps=steps, batch=8, length=96, rate=6e-3, seed=1)
            recipe.run(model, texts.get(name, texts["memorising"]))
            models.save(model, Path(at[name]))
        ways = {
            "the memorising model": Online(at["memorising"]),
            "an early checkpoint of it": Online(at["early"]),
            "a model of other people": Online(at["reference"]),
            "gap to the early checkpoint": Online(at["early"], at["memorising"]),
            "gap to the model of others": Online(at["reference"], at["memorising"]),
        }
        return {name: _share(online, known) for name, online in ways.items()}


def _share(online: Online, passages: Sequence[Passage]) -> Share:
    texts = [passage.text.reveal() for passage in passages]
    asked = [reader(texts) for reader in online._reader]
    by_heart = asked[1] if len(asked) > 1 else [[] for _ in texts]
    tokens = [unlikely(a, b) for a, b in zip(asked[0], by_heart, strict=True)]
    words = [[part for part, _ in parts] for parts in online.select(texts)]
    found = [_counts(passages, places) for places in (_places(tokens), words)]
    (hit, marked, secret), (words_hit, words_marked, _) = found
    return Share(
        hit / secret, hit / max(1, marked), words_hit / secret, words_hit / max(1, words_marked)
    )


def _places(tokens: Sequence[Sequence[Piece]]) -> list[list[tuple[int, int]]]:
    return [[(piece.start, piece.end) for piece in some] for some in tokens]


def _counts(
    passages: Sequence[Passage], marked: Sequence[Sequence[tuple[int, int]]]
) -> tuple[int, int, int]:
    """Letters and digits that are secret and marked, marked, secret."""
    both = every = secret = 0
    for passage, places in zip(passages, marked, strict=True):
        text = passage.text.reveal()
        wanted = {
            at
            for s in passage.spans
            if s.kind is not SpanKind.PERSON
            for at in range(s.start, s.end)
            if text[at].isalnum()
        }
        taken = {at for place in places for at in range(*place) if text[at].isalnum()}
        both, every, secret = both + len(wanted & taken), every + len(taken), secret + len(wanted)
    return both, every, secret
