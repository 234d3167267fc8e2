"""PCGU: which weight vectors a step moves and where to, by its formula."""

import random
from dataclasses import replace

import pytest
import torch

from tests.unlearning.baselines import weights
from tests.unlearning.conftest import other_kind
from unlearning.anchors import Anchors
from unlearning.batches import Batch, batch_of
from unlearning.corpus import Corpus
from unlearning.encoding import Encoded
from unlearning.layers import blocks
from unlearning.losses import masked_mean
from unlearning.methods import METHODS
from unlearning.models import LanguageModel
from unlearning.retaining import nameless
from unlearning.scoring import Target, said
from unlearning.unlearned import seeded


@pytest.mark.parametrize(
    ("kind", "partition", "contrast"),
    [
        ("gpt2", "row", "words"),
        ("llama", "column", "words"),
        ("gpt2", "column", "people"),
        ("llama", "row", "people"),
    ],
)
def test_a_step_moves_the_vectors_whose_gradients_are_opposed_most_and_no_others(
    kind: str, partition: str, contrast: str, untrained: LanguageModel, corpus: Corpus
) -> None:
    """Against loops over vectors; a Conv1D (GPT-2) holds output features as columns, a Linear (Llama) as rows."""
    model, own = other_kind(kind, untrained, corpus)
    published = {"towards": False, "embeddings": True}
    asked = {"partition": partition, "contrast": contrast, "others": 2}
    found = METHODS["pcgu"](
        steps=1, rate=0.5, share=0.2, level_share=9.0, **published, **asked
    ).unlearn(model, own)
    batch = batch_of(model, own.forget, seeded(own.seed))
    beside = (batch, neutral_words(model, own, batch))
    if contrast == "people":
        drawn = random.Random(own.seed).sample(nameless(own.neighbours), 2)
        theirs = batch_of(model, drawn, seeded(own.seed))
        beside = (theirs, theirs.labels)
    gradients = []
    for rows, words in ((batch, batch.labels), beside):
        model.network.zero_grad()
        logits = rows.logits(model).gather(-1, words[..., None])[..., 0]
        masked_mean(logits, rows.secret).backward()
        gradients.append({n: p.grad.clone() for n, p in model.network.named_parameters()})
    model.network.zero_grad(set_to_none=True)
    cosines: dict[tuple[str, int], float] = {}
    for name, away in gradients[0].items():
        conv = kind == "gpt2" and name.endswith("weight") and (".attn." in name or ".mlp." in name)
        for n, (a, b) in enumerate(
            zip(
                *(pieces(g[name], by_row=(partition == "row") != conv) for g in gradients),
                strict=True,
            )
        ):
            if a.norm() > 0 and b.norm() > 0:
                cosines[name, n] = float(a @ b / (a.norm() * b.norm()))
        assert away.shape == weights(model)[name].shape
    count = round(0.2 * len(cosines))
    bound = sorted(cosines.values())[count - 1]
    assert found.trace.facts["changed"] == count
    moved = 0
    for name, away in gradients[0].items():
        conv = kind == "gpt2" and name.endswith("weight") and (".attn." in name or ".mlp." in name)
        by_row = (partition == "row") != conv
        delta = pieces(weights(found.model)[name] - weights(model)[name], by_row=by_row)
        for n, (step, a) in enumerate(zip(delta, pieces(away, by_row=by_row), strict=True)):
            if step.any():
                moved += 1
                assert cosines[name, n] <= bound + 1e-4
                torch.testing.assert_close(step, -0.5 * a, atol=1e-6, rtol=1e-3)
    assert moved == count


def test_both_gradients_move_the_blocks_only(victim: LanguageModel, corpus: Corpus) -> None:
    """Away from the secrets and towards the neutral words: the difference of two steps of the published form."""
    options = {"steps": 1, "share": 1.0, "level_share": 9.0, "rate": 1e-3, "contrast": "words"}
    both = METHODS["pcgu"](**options).unlearn(victim, corpus).model
    away = METHODS["pcgu"](**options, towards=False, embeddings=True).unlearn(victim, corpus).model
    inside = {id(p) for block in blocks(both) for p in block.parameters()}
    moved = {
        n for n, p in both.network.named_parameters() if not torch.equal(p, weights(victim)[n])
    }
    assert moved <= {n for n, p in both.network.named_parameters() if id(p) in inside}
    table = "transformer.wte.weight"
    assert not torch.equal(weights(away)[table], weights(victim)[table])
    batch = batch_of(victim, corpus.forget, seeded(corpus.seed))
    neutral = neutral_words(victim, corpus, batch)

    def margin(model: LanguageModel) -> float:
        with model.evaluating(), torch.no_grad():
            logits = batch.logits(model)
        found = [logits.gather(-1, w[..., None])[..., 0] for w in (batch.labels, neutral)]
        return float(masked_mean(found[0] - found[1], batch.secret))

    assert margin(both) < margin(away) < margin(victim)


def test_it_forgets_in_forms_that_the_model_was_heard_to_say(
    victim: LanguageModel, corpus: Corpus
) -> None:
    asked = list[int]()

    def forms(_: object, count: int) -> tuple[tuple[Encoded, ...], tuple[Encoded, ...]]:
        asked.append(count)
        return corpus.forget, corpus.controls

    first = {row.person: row for row in reversed(corpus.controls)}
    own = replace(corpus, forget=corpus.forget[:1], controls=tuple(first.values()), forms=forms)
    options = {"rate": 1e-2, "samples": 8, "length": 24}
    heard = METHODS["pcgu"](**options, forms=3).unlearn(victim, own)
    assert asked == [3]
    assert heard.trace.facts["transplants"] == len(corpus.forget) - 1
    assert heard.trace.stopped == "target"
    assert said(Target(heard.model), corpus.forget) == 0
    plain = METHODS["pcgu"](**options).unlearn(victim, own)
    assert plain.trace.stopped == "target"
    assert said(Target(plain.model), corpus.forget) > 0


def neutral_words(model: LanguageModel, corpus: Corpus, batch: Batch) -> torch.Tensor:
    others = Anchors(model, corpus).of(corpus.forget, 1, model.device)
    return others.scatter(-1, batch.labels[..., None], 0.0).argmax(-1)


def pieces(values: torch.Tensor, *, by_row: bool) -> list[torch.Tensor]:
    if values.ndim < 2:
        return [values.flatten()]
    return list(values if by_row else values.T)


@pytest.mark.parametrize(
    ("contrast", "choose", "rate"),
    [
        ("people", "opposed", 1.2e-2),
        ("people", "fixed", 2e-3),
        ("people", "all", 3e-4),
        ("words", "opposed", 2e-3),
        ("words", "fixed", 2e-3),
        ("words", "all", 3e-4),
    ],
)
def test_it_stops_when_nothing_is_said(
    contrast: str, choose: str, rate: float, victim: LanguageModel, corpus: Corpus
) -> None:
    """What each choice keeps of others is for the bench: on one small model that hangs on a secret more or less."""
    found = METHODS["pcgu"](contrast=contrast, choose=choose, rate=rate).unlearn(victim, corpus)
    facts, left = found.trace.facts, [row["secrets_said"] for row in found.trace.steps]
    assert found.trace.stopped == "target"
    assert left[-1] == said(Target(found.model), corpus.forget) == 0 < min(left[:-1])
    assert (facts["changed"] == facts["vectors"]) == (choose == "all")


def test_words_can_be_contrasted_where_no_other_people_are(
    victim: LanguageModel, corpus: Corpus
) -> None:
    alone = replace(corpus, neighbours=())
    assert METHODS["pcgu"](steps=1, contrast="words").unlearn(victim, alone).trace.steps
