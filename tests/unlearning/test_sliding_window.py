"""A model with a sliding window (Mistral, Gemma, Qwen): the shared cache gives what reading everything gives."""

import pytest
import torch
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from tests.unlearning.sample import row
from unlearning import training
from unlearning.encoding import TokenSpan
from unlearning.generation import continuations
from unlearning.models import Kind, LanguageModel
from unlearning.ranking import _continued, log_probabilities, of_many

SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 128,
    "sliding_window": 8,
}
WINDOWED = {
    "mistral": (MistralConfig, MistralForCausalLM, {}),
    "gemma2": (Gemma2Config, Gemma2ForCausalLM, {}),
    "gemma3": (Gemma3TextConfig, Gemma3ForCausalLM, {}),
    "qwen2": (Qwen2Config, Qwen2ForCausalLM, {"use_sliding_window": True, "max_window_layers": 0}),
}
TEXT = torch.randint(5, 250, (40,), generator=torch.Generator().manual_seed(1)).tolist()


@pytest.fixture(params=WINDOWED)
def windowed(request: pytest.FixtureRequest) -> LanguageModel:
    config, network, more = WINDOWED[request.param]
    tokenizer = training.train_tokenizer(["the quick brown fox 0123456789 jumps over"] * 3, 300)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = network(config(vocab_size=len(tokenizer), **SHAPE, **more)).eval()
    with torch.no_grad():
        for weight in net.parameters():
            if weight.dim() > 1:
                weight.mul_(4)  # sure enough that what lies outside of the window counts
    return LanguageModel(net, tokenizer, Kind.CAUSAL)


@torch.no_grad()
def logits(model: LanguageModel, ids: list[int]) -> torch.Tensor:
    found: torch.Tensor = model.network(torch.tensor([ids]), use_cache=False).logits[0].float()
    return found


@torch.no_grad()
def test_candidates_behind_a_shared_prefix_are_as_likely_as_read_whole(
    windowed: LanguageModel,
) -> None:
    values = [tuple(TEXT[30:35]), (7, 8, 9), (20, 21, 22, 23, 24, 25)]
    expected = []
    for value in values:
        read = logits(windowed, [*TEXT[:30], *value]).log_softmax(-1)
        expected.append(sum(float(read[29 + n, token]) for n, token in enumerate(value)))
    assert _continued(windowed, TEXT[:30], values) == pytest.approx(expected, abs=1e-3)


def test_what_follows_every_prefix_is_what_it_says_alone(windowed: LanguageModel) -> None:
    starts = [10, 20, 30]
    (found,) = continuations(windowed, [TEXT], [starts])
    for start, said in zip(starts, found, strict=True):
        ids = TEXT[:start]
        while len(ids) < len(TEXT):
            ids = [*ids, int(logits(windowed, ids)[-1].argmax())]
        assert list(said) == ids[start:]


def test_many_secrets_at_once_are_as_likely_as_one_by_one(windowed: LanguageModel) -> None:
    """Texts of several lengths, secrets at several places of one text, values of several lengths, one of one token."""
    kind = row([0], (0, 1)).spans[0].kind
    asked = [
        (row(TEXT[:length]), TokenSpan(start, end, kind, candidates))
        for length, start, end, candidates in (
            (40, 30, 35, ((7, 8, 9), (20, 21, 22, 23, 24, 25))),
            (40, 3, 9, ((7,), (11, 12))),
            (25, 20, 21, ((9, 8), (7, 6, 5))),
            (12, 1, 2, ((9,),)),
        )
    ]
    expected = [log_probabilities(windowed, text, span) for text, span in asked]
    for found, one in zip(of_many(windowed, asked), expected, strict=True):
        assert found == pytest.approx(one, abs=1e-3)
