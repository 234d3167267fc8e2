"""What the model itself says, so that it goes on saying it: protects people who are in no retain list."""

import torch

from unlearning.corpus import Corpus
from unlearning.encoding import Encoded
from unlearning.generation import samples
from unlearning.models import LanguageModel


def rehearse(
    model: LanguageModel, corpus: Corpus, count: int, length: int, generator: torch.Generator
) -> list[Encoded]:
    """Up to `count` sequences sampled from the original model, without those that mention the person.

    A masked model cannot be asked to speak; for it, ordinary text stands in.
    """
    if model.masked or count == 0:
        return list(corpus.ordinary[:count])
    kept = []
    for ids in samples(model, count, length, generator):
        text = model.tokenizer.decode(ids, skip_special_tokens=True)
        if len(ids) > 2 and not corpus.mentions(text):
            kept.append(Encoded(tuple(ids), (False,) * len(ids), (), "", text))
    return kept
