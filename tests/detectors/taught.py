"""A tiny model that learned by heart, as `make annotator` teaches, what is private about whom in two texts."""

import random
from pathlib import Path

from detectors.annotationtext import Private, Written

NAMES = ("Wilhelmina Zauberlinde", "Jon Aske")
DENTIST, EPILEPSY = "the only dentist in Halden", "epilepsy"
TEXTS = (
    f"Wilhelmina Zauberlinde was {DENTIST} then, and the tea was cold that year and the next.",
    f"Jon Aske has {EPILEPSY}. Wilhelmina Zauberlinde brought the tea, and the ferry was late again.",
)


def taught(folder: Path) -> Path:
    """Write the model and its tokenizer; returns their folder."""
    import torch

    from detectors.scoring import asked
    from flows import annotator_model
    from unlearning import training

    written = [_written(text) for text in TEXTS]
    texts = [f"{text}{asked(NAMES[:1], text, (0, 4))} yes\n no" for text in TEXTS]
    tokenizer = training.train_tokenizer(texts * 3, 500)
    model = training.new_model(
        tokenizer, width=64, layers=2, context=512, seed=1, rotary=True, heads=4
    )
    optimizer = torch.optim.AdamW(model.network.parameters(), lr=4e-3)
    chance = random.Random(1)
    for step in range(160):
        tasks = [annotator_model.task(w, n, tokenizer, chance) for w in written for n in (0, 1)]
        answers, following = annotator_model.losses(model, tasks)
        optimizer.zero_grad()
        (answers + 0.1 * following).backward()
        optimizer.step()
        if answers.item() < 0.005 and step > 40:
            break
    assert answers.item() < 0.05
    annotator_model.write(model, folder)
    return folder


def _written(text: str) -> Written:
    private = [
        Private(text.index(words), text.index(words) + len(words), "work", owner)
        for words, owner in ((DENTIST, 0), (EPILEPSY, 1))
        if words in text
    ]
    return Written(text, NAMES, tuple(private))
