"""What the model itself says, and ordinary text, so that it goes on saying it: protects who is in no retain list."""

import torch

from unlearning.corpus import Corpus
from unlearning.encoding import Encoded
from unlearning.generation import samples
from unlearning.models import Kind, LanguageModel


def rehearse(
    model: LanguageModel, corpus: Corpus, count: int, length: int, generator: torch.Generator
) -> list[Encoded]:
    """Ordinary text and up to `count` sequences sampled from the original model, without those that mention the person.

    Without the first, perplexity on other ordinary text rises twice as far. Only a causal model can be asked to speak.
    With `count` 0 there is no rehearsal.
    """
    if model.kind is not Kind.CAUSAL or count == 0:
        return list(corpus.ordinary[:count])
    kept = list(corpus.ordinary)
    for ids in samples(model, count, length, generator):
        text = model.tokenizer.decode(ids, skip_special_tokens=True)
        if len(ids) > 2 and not corpus.mentions(text):
            kept.append(Encoded(tuple(ids), (False,) * len(ids), (), "", text))
    return kept
