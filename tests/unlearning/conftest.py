"""What the tests of this room share: one trained victim, its trial, a teacher, and tiny models of every shape."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PretrainedConfig,
    PreTrainedModel,
    T5Config,
    T5ForConditionalGeneration,
)

from domain.outcomes import Assessment
from domain.records import Passage
from tests import tiny
from tests.unlearning.sample import framed, row
from unlearning import assignment, models, sharded
from unlearning.assignment import Source
from unlearning.attacks import ATTACKS
from unlearning.corpus import Corpus
from unlearning.manifest import MODEL, Manifest
from unlearning.models import Kind, LanguageModel
from unlearning.recipe import Recipe
from unlearning.trial import Trial, assess, prepare

SEED = 0
CLASSES = tiny.CLASSES
CORE = ("extraction", "memorisation", "exposure", "membership")
"""The attacks that the tests of the verdict work with."""


@dataclass(frozen=True)
class Town:
    """The people, the passages of the one who asks to be forgotten, and everybody else's."""

    place: tiny.Town
    members: list[Passage]
    neighbours: list[Passage]
    sentences: list[Passage]


@pytest.fixture(scope="session")
def town() -> Town:
    place = tiny.town()
    others = [p for n, x in enumerate(place.known[1:], 1) for p in tiny.passages(x, f"p{n}")]
    return Town(place, tiny.passages(place.known[0], "p0"), others, tiny.sentences(place))


@pytest.fixture(scope="session")
def victim(town: Town) -> LanguageModel:
    with torch.random.fork_rng():
        return tiny.victim(town.place)


@pytest.fixture(scope="session")
def untrained(town: Town) -> LanguageModel:
    with torch.random.fork_rng():
        return tiny.victim(town.place, steps=0)


@pytest.fixture(scope="session")
def trial(town: Town, victim: LanguageModel) -> Trial:
    texts = [*town.neighbours, *town.sentences]
    return prepare(
        victim, town.members, town.neighbours, town.sentences, seed=SEED, texts=lambda: texts
    )


@pytest.fixture(scope="session")
def corpus(trial: Trial) -> Corpus:
    """With fewer strangers: EL of each of theirs is the dear part of a stop rule."""
    return replace(trial.corpus, controls=trial.corpus.controls[:6])


@pytest.fixture(scope="session")
def before(victim: LanguageModel, trial: Trial) -> Assessment:
    return assess(victim, "0" * 64, trial, {name: ATTACKS[name]() for name in CORE})


@pytest.fixture(scope="session")
def victim_folder(victim: LanguageModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("victim") / "model"
    models.save(victim, folder)
    return folder


@pytest.fixture(scope="session")
def teachers(untrained: LanguageModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two shards: one holds the person's documents, the other has seen nobody."""
    folder = tmp_path_factory.mktemp("teachers")
    models.save(untrained, folder / "shard1")
    (folder / "manifest.json").write_text(
        '{"shards": [{"path": "shard0", "documents": ["p0.jsonl#1"]},'
        ' {"path": "shard1", "documents": ["p1.jsonl#1"]}]}'
    )
    return folder


@dataclass(frozen=True)
class Run:
    """A model made of shards on the disk, and what it was made with."""

    folder: Path
    key: Path
    base: LanguageModel
    sources: list[Source]
    recipe: Recipe

    @property
    def model(self) -> LanguageModel:
        return models.load(self.folder / MODEL, "cpu")

    @property
    def texts(self) -> dict[str, str]:
        return {source.reference: source.text for source in self.sources}

    def without(self, gone: Iterable[str]) -> tuple[Manifest, LanguageModel]:
        """The same training on the corpus without some documents."""
        left_out = set(gone)
        left = [s for s in self.sources if s.reference not in left_out]
        made = sharded.train(
            self.base, "", left, recipe=self.recipe, key=assignment.load_key(self.key)
        )
        return made[0], made[1]


def run_of(base: LanguageModel, sources: list[Source], recipe: Recipe, folder: Path) -> Run:
    """Train it and write it."""
    models.save(base, folder / "base")
    key = assignment.Key(b"k" * 32)
    (folder / "key").write_text(key.value.hex())
    (folder / "key").chmod(0o600)
    made = sharded.train(base, str(folder / "base"), sources, recipe=recipe, key=key)
    made[0].write(folder / "run", made[1])
    return Run(folder / "run", folder / "key", base, sources, recipe)


@pytest.fixture(scope="session")
def shards(town: Town, untrained: LanguageModel, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Eight shards on a base that knows nobody, a few steps each."""
    sources = [
        Source(p.ref, p.text.reveal(), (p.person,) if p.person else ())
        for p in (*town.members, *town.neighbours, *town.sentences)
    ]
    recipe = Recipe(steps=6, batch=2, rank=4)
    return run_of(untrained, sources, recipe, tmp_path_factory.mktemp("shards"))


@pytest.fixture
def small(town: Town, untrained: LanguageModel) -> LanguageModel:
    return tiny_model("gpt2", untrained)


KINDS = {
    "gpt2": Kind.CAUSAL,
    "llama": Kind.CAUSAL,
    "neox": Kind.CAUSAL,
    "bert": Kind.MASKED,
    "t5": Kind.SEQ2SEQ,
    "t5_gated": Kind.SEQ2SEQ,
    "bert_classifier": Kind.CLASSIFIER,
    "gpt2_classifier": Kind.CLASSIFIER,
}


def tiny_model(kind: str, like: LanguageModel) -> LanguageModel:
    """A two-layer model with random weights, evaluating, with the tokenizer of `like`; BERT gets its special tokens."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=like.tokenizer.backend_tokenizer,
        bos_token=like.tokenizer.bos_token,
        eos_token=like.tokenizer.eos_token,
        pad_token=like.tokenizer.pad_token,
        **(
            {"cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
            if kind.startswith("bert")
            else {}
        ),
    )
    shared = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    wide = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 128,
    }
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = _network(kind, shared, wide, ends)
        for parameter in network.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=0.3)  # so that predictions differ
    return LanguageModel(network.eval(), tokenizer, KINDS[kind])


def other_kind(kind: str, untrained: LanguageModel, corpus: Corpus) -> tuple[LanguageModel, Corpus]:
    """Another architecture, with a corpus of rows that fit it: two each of the person, a neighbour, a stranger."""
    model = tiny_model(kind, untrained)
    rows = framed(
        model,
        [row([0, *range(40 + 3 * n, 60 + 3 * n)], (4, 8), person=f"p{n // 2}") for n in range(6)],
    )
    return model, replace(corpus, forget=rows[:2], neighbours=rows[2:4], controls=rows[4:])


def _network(
    kind: str, shared: dict[str, int], wide: dict[str, int], ends: dict[str, int]
) -> PreTrainedModel:
    config: PretrainedConfig
    if kind == "bert":
        return BertForMaskedLM(BertConfig(**shared, **wide))
    if kind == "bert_classifier":
        return BertForSequenceClassification(BertConfig(**shared, **wide, num_labels=CLASSES))
    if kind == "llama":
        return LlamaForCausalLM(LlamaConfig(**shared, **wide, **ends, tie_word_embeddings=False))
    if kind == "neox":
        config = GPTNeoXConfig(**shared, **wide, **ends)
        return GPTNeoXForCausalLM(config)
    if kind.startswith("t5"):
        return T5ForConditionalGeneration(
            T5Config(
                **shared,
                d_model=32,
                d_kv=16,
                d_ff=48,
                num_layers=2,
                num_heads=2,
                n_positions=128,
                feed_forward_proj="gated-gelu" if kind == "t5_gated" else "relu",
                eos_token_id=ends["eos_token_id"],
                decoder_start_token_id=shared["pad_token_id"],
            )
        )
    shape = GPT2ForSequenceClassification if kind == "gpt2_classifier" else GPT2LMHeadModel
    config = GPT2Config(
        **shared,
        **ends,
        n_positions=128,
        n_embd=32,
        n_layer=2,
        n_head=2,
        n_inner=48,
        num_labels=CLASSES,
    )
    return shape(config)
