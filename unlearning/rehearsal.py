"""What the model itself says, and ordinary text, so that it goes on saying it: protects who is in no retain list."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from unlearning.corpus import Corpus
from unlearning.encoding import Encoded
from unlearning.generation import answers, samples
from unlearning.models import Kind, LanguageModel


def rehearse(
    model: LanguageModel, corpus: Corpus, count: int, length: int, generator: torch.Generator
) -> list[Encoded]:
    """Ordinary text and up to `count` texts of the original model's own, without those that mention the person.

    Without the first, perplexity on other ordinary text rises twice as far. A causal model speaks unasked; a seq2seq
    model is asked about the corpus's strangers, whose answers come from what it knows of people with names like theirs.
    Other kinds cannot be asked: their first `count` ordinary texts. With `count` 0 there is no rehearsal.
    """
    if count == 0 or model.kind not in {Kind.CAUSAL, Kind.SEQ2SEQ}:
        return list(corpus.ordinary[:count])
    if model.kind is Kind.CAUSAL:
        said = _spoken(model, count, length, generator)
    else:
        said = _answered(model, corpus.controls[:count], length)
    return [*corpus.ordinary, *(row for row in said if not corpus.mentions(row.text))]


def _spoken(
    model: LanguageModel, count: int, length: int, generator: torch.Generator
) -> Iterator[Encoded]:
    for ids in samples(model, count, length, generator):
        if len(ids) > 2:
            text = model.tokenizer.decode(ids, skip_special_tokens=True)
            yield Encoded(tuple(ids), (False,) * len(ids), (), "", text)


def _answered(model: LanguageModel, asked: Sequence[Encoded], length: int) -> Iterator[Encoded]:
    for row, ids in zip(asked, answers(model, [row.source for row in asked], length), strict=True):
        text = row.text[: row.answer] + model.tokenizer.decode(ids, skip_special_tokens=True)
        plain = (False,) * len(ids)
        yield replace(row, ids=tuple(ids), sensitive=plain, spans=(), person="", text=text)
