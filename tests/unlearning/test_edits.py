"""What an edit says of itself is what was done, and with the model as it was it can be undone to the last byte."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from transformers.pytorch_utils import Conv1D

from domain.errors import RequestRejected
from domain.outcomes import Edit
from tests.unlearning.baselines import weights
from tests.unlearning.conftest import tiny_model
from tests.unlearning.sample import framed, row
from unlearning import models
from unlearning.corpus import Corpus
from unlearning.layers import blocks
from unlearning.levels import telling
from unlearning.methods import METHODS
from unlearning.methods.depn import ranked
from unlearning.models import LanguageModel, copy_of
from unlearning.neurons import Attribution, down_projections, feed_forward, outgoing
from unlearning.unlearned import Unlearned, digest_of

OPTIONS: dict[str, dict[str, object]] = {
    "depn": {"pace": 8, "share": 0.02, "spared": 2},
    "rank_demotion": {"rounds": 2, "most_drift": 99.0},
    "mechanistic": {"steps": 2, "samples": 8, "length": 24, "located": 4, "points": 10},
    "pcgu": {"steps": 2, "embeddings": True},
}


def edited(name: str, victim: LanguageModel, corpus: Corpus) -> tuple[Unlearned, Edit]:
    found = METHODS[name](**OPTIONS[name]).unlearn(victim, corpus)
    assert found.trace.edit is not None
    return found, found.trace.edit


def changed_neurons(before: LanguageModel, after: LanguageModel) -> list[tuple[int, int]]:
    """(block, number) of the neurons whose outgoing weights differ."""
    pairs = zip(down_projections(before), down_projections(after), strict=True)
    differ = [(outgoing(a) != outgoing(b)).any(-1) for a, b in pairs]
    return [(layer, int(n)) for layer, rows in enumerate(differ) for n in rows.nonzero()]


def restored(folder: Path, after: LanguageModel, backup: LanguageModel) -> bool:
    """Whether both are the same files, by the digest that stands in the evidence."""
    digests = []
    for name, model in (("after", after), ("backup", backup)):
        models.save(model, folder / name)
        digests.append(models.digest(folder / name)[0])
    return digests[0] == digests[1]


@pytest.mark.parametrize("name", ["depn", "rank_demotion"])
def test_the_digest_names_the_neurons_and_their_old_weights_undo_the_edit(
    name: str, victim: LanguageModel, corpus: Corpus, tmp_path: Path
) -> None:
    found, edit = edited(name, victim, corpus)
    neurons = changed_neurons(victim, found.model)
    assert found.trace.digests["edited_neurons"] == digest_of(f"{n}:{i}" for n, i in neurons)
    assert edit.edited == len(neurons) == found.trace.facts["neurons"]
    for layer, counted in enumerate(edit.layers):
        assert counted.edited == sum(n == layer for n, _ in neurons)
        assert counted.pieces == len(outgoing(down_projections(victim)[layer]))
    undone = copy_of(found.model)
    for layer, number in neurons:
        old = outgoing(down_projections(victim)[layer])[number]
        outgoing(down_projections(undone)[layer])[number] = old
    assert restored(tmp_path, undone, victim)


def test_the_digest_names_the_matrices_of_the_located_layers_and_the_old_ones_undo_it(
    victim: LanguageModel, corpus: Corpus, tmp_path: Path
) -> None:
    found, edit = edited("mechanistic", victim, corpus)
    facts, matrices = found.trace.facts, feed_forward(victim)
    chosen = range(int(facts["first_layer"]), int(facts["last_layer"]) + 1)
    inside = [name for layer in chosen for name in matrices[layer]]
    assert found.trace.digests["edited_matrices"] == digest_of(inside)
    assert [layer.edited == layer.pieces for layer in edit.layers] == [
        layer in chosen for layer in range(len(matrices))
    ]
    assert edit.gap is not None
    undone = copy_of(found.model)
    state = undone.network.state_dict()
    for key, old in weights(victim).items():
        if key.rpartition(".")[0] in inside:
            state[key].copy_(old)
    assert restored(tmp_path, undone, victim)


def test_no_more_vectors_differ_than_are_counted_block_by_block(
    victim: LanguageModel, corpus: Corpus
) -> None:
    found, edit = edited("pcgu", victim, corpus)
    turned = {n for n, m in victim.network.named_modules() if isinstance(m, Conv1D)}
    inside = {
        name: number
        for number, block in enumerate(blocks(victim))
        for name, p in victim.network.named_parameters()
        if any(p is own for own in block.parameters())
    }
    differ, pieces = dict.fromkeys(range(-1, len(edit.layers)), 0), [0] * (len(edit.layers) + 1)
    news = dict(found.model.network.named_parameters())
    for name, old in victim.network.named_parameters():
        moved = old != news[name]
        rows = moved.reshape(1, -1) if old.dim() < 2 else moved.T if name[:-7] in turned else moved
        differ[inside.get(name, -1)] += int(rows.any(-1).sum())
        pieces[inside.get(name, -1)] += len(rows)
    assert edit.outside is not None
    counted = {-1: edit.outside} | dict(enumerate(edit.layers))
    for block, number in differ.items():
        assert 0 < number <= counted[block].edited  # a step may be too small to move a float
        assert counted[block].pieces == pieces[block]
    assert edit.edited == found.trace.facts["changed"]
    assert edit.pieces == found.trace.facts["vectors"]


def test_a_neuron_that_serves_everybody_comes_behind_the_person_s_own() -> None:
    """As published the first comes first: two votes and the highest score. The last carries nothing of the person."""
    scores = (
        ([0.5, 0.2, 0.004, -0.1], [0.5, 0.01, 0.3, 0.0]),
        ([0.4, 0.0, 0.1, 0.9],),
        ([0, 0.2, 0, 0],),
    )
    found, others, plain = (
        [Attribution(torch.tensor([s]), 0.0, 1) for s in part] for part in scores
    )
    assert ranked(found, [], plain, 0.1) == [0, 2, 1]
    assert ranked(found, others, [], 0.1) == [1, 2, 0]  # .105 / .005, .152 / .105, .5 / .405
    assert ranked(found, others, plain, 0.1) == [2, 0, 1]  # and .105 / .605: ordinary text needs it


def test_a_few_neurons_go_at_a_time_until_no_secret_is_known(
    victim: LanguageModel, corpus: Corpus
) -> None:
    """The probabilities are read off a plain forward pass; a round takes `pace` neurons for each secret still known."""
    found = METHODS["depn"](share=0.5, pace=3, spared=4, known=0.05).unlearn(victim, corpus)
    assert found.trace.stopped == "target"
    steps = found.trace.steps
    for before, after in pairwise(steps):
        assert after["neurons"] - before["neurons"] == 3 * before["secrets_known"]
    assert steps[-1]["secrets_known"] == 0 < steps[0]["secrets_known"]
    for told in telling(victim, corpus):
        with torch.no_grad():
            logits = found.model.network(input_ids=torch.tensor([told.ids])).logits[0]
        log_p = logits.log_softmax(-1)[range(len(told) - 1), told.ids[1:]]
        for span in told.spans:
            assert float(log_p[span.start - 1 : span.end - 1].sum().exp()) < 0.05


def test_as_published_all_are_silenced_by_the_first_look(
    victim: LanguageModel, corpus: Corpus
) -> None:
    options = {"again": False, "spared": 0, "known": 0.0, "share": 0.02}
    found = METHODS["depn"](pace=10**6, **options).unlearn(victim, corpus)
    slow = METHODS["depn"](pace=1, **options).unlearn(victim, corpus)
    assert len(found.trace.steps) == 2 < len(slow.trace.steps)
    assert found.trace.digests == slow.trace.digests
    assert found.trace.facts["compared"] == 0


@pytest.mark.parametrize("kind", ["gpt2", "llama", "neox", "bert"])
def test_every_kind_of_model_tells_how_many_neurons_of_each_block(
    kind: str, untrained: LanguageModel, corpus: Corpus
) -> None:
    model = tiny_model(kind, untrained)
    rows = framed(model, [row([0, *range(40, 60)], (4, 8)), row([0, *range(60, 80)], (4, 8))])
    own = Corpus(rows[:1], rows[1:], (), (), frozenset(), frozenset(), 0)
    edit = METHODS["depn"](share=6 / 96, known=0.0).unlearn(model, own).trace.edit
    assert edit is not None
    assert edit.edited == 6
    assert [layer.pieces for layer in edit.layers] == [48, 48]
    assert sum(layer.mass or 0 for layer in edit.layers) == pytest.approx(1)


@pytest.mark.parametrize(
    "options", [{"spared": -1}, {"pace": 0}, {"known": -1.0}, {"share": float("nan")}]
)
def test_settings_that_cannot_be_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(RequestRejected):
        METHODS["depn"](**options)
