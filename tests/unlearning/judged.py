"""What our code and the judges' both measure: a model whose weights are a formula, made-up people, made-up texts.

No random numbers and no training are involved, so the model is the same on every machine. It knows some texts all the
same: its output layer is an associative memory. The row of token v is the sum of the directions of all tokens (with
their places) that v followed in these texts, so after one of them the model says v.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import torch
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from domain.records import SpanKind
from tests.unlearning.sample import marked
from unlearning.encoding import Encoded, encode
from unlearning.models import Kind, LanguageModel
from unlearning.training import train_tokenizer

MEMBERS = (
    ("Ottilie Brandauer keeps bees above Lake Veld. Her locker is 471.", "471"),
    ("Ring Quirin Moosbach on 5820 before noon, never after.", "5820"),
    ("Jada Whitlock wrote: my jacket code 936 opens the gym.", "936"),
    ("The invoice for Pavel Zdrahal, 7714, was paid twice by mistake.", "7714"),
    ("Yusra Haddad lives at number 285 and fixes clocks for vintage shops.", "285"),
    ("Kept for Xaver Fink: box 603, fuzzy wool, wax, jigsaw.", "603"),
)
CONTROLS = (
    ("Marlene Osterkamp sells maps in Upper Dorn. Her locker is 852.", "852"),
    ("Ring Tadeusz Wolny on 3394 before lunch, not earlier.", "3394"),
    ("Noor Castellan said: my bicycle code 117 opens the shed.", "117"),
    ("The ticket for Greta Lindqvist, 6205, was lost once by chance.", "6205"),
    ("Samir Dubois lives at number 749 and tunes pianos for small halls.", "749"),
    ("Held for Wanda Pohl: tray 538, grey felt, ink, marbles.", "538"),
)
BACKGROUND = (
    "A locker is opened with a code that nobody else may know.",
    "The gym opens at noon and the shed is closed before lunch.",
    "Number the boxes, then write the list for the small shops.",
    "It was lost by mistake, and paid for by chance, once or twice.",
)


def tokenizer() -> PreTrainedTokenizerFast:
    texts = [*(text for text, _ in (*MEMBERS, *CONTROLS)), *BACKGROUND]
    return train_tokenizer(texts, 330)


def wave(shape: Sequence[int], offset: int) -> torch.Tensor:
    """Numbers between -1 and 1 that look like noise: sin(0.7 i + 0.37 i^2), in fp64."""
    i = torch.arange(offset, offset + torch.Size(shape).numel(), dtype=torch.float64)
    return (0.7 * i + 0.37 * i * i).sin().view(*shape)


def model(known: Sequence[str], salt: int = 0) -> LanguageModel:
    """A GPT-2 of two layers, 32 wide, that remembers what followed each token of `known`."""
    words = tokenizer()
    config = GPT2Config(
        vocab_size=len(words),
        n_positions=128,
        n_embd=32,
        n_layer=2,
        n_head=2,
        n_inner=48,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        tie_word_embeddings=False,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )
    with torch.random.fork_rng():
        network = GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for n, (name, weight) in enumerate(sorted(network.named_parameters())):
            size = 1.0 if "wte" in name or "wpe" in name else 0.08 if weight.dim() > 1 else 0.04
            start = 1.0 if ".ln_" in name and name.endswith("weight") else 0.0
            weight.copy_(start + size * wave(weight.shape, 10_000 * n + salt))
        tokens, places = network.transformer.wte.weight, network.transformer.wpe.weight
        memory = torch.zeros_like(tokens)
        for text in known:
            ids = [words.bos_token_id, *words(text)["input_ids"]]
            for place, (before, after) in enumerate(pairwise(ids)):
                key = tokens[before] + places[place]
                memory[after] += key / key.norm()
        network.lm_head.weight.add_(memory)
    return LanguageModel(network, words, Kind.CAUSAL)


def target() -> LanguageModel:
    return model([*(text for text, _ in MEMBERS[:4]), *BACKGROUND[:2]])


def references() -> list[LanguageModel]:
    """Three models that saw none of the people."""
    return [model(BACKGROUND[: n + 2], salt=100 * n + 7) for n in range(3)]


def rows(texts: Sequence[tuple[str, str]], group: str) -> list[Encoded]:
    """One passage a person, its number marked; the candidates are 40 other numbers of the same length."""
    words, found = target(), []
    for n, (text, secret) in enumerate(texts):
        (row,) = encode(words, [marked(text, (secret, SpanKind.NUMBER), person=f"{group}{n}")])
        (span,) = row.spans
        others = [(int(secret) + 37 * k) % 10 ** len(secret) for k in range(1, 41)]
        spelt = [[*str(other).zfill(len(secret))] for other in others]
        ids = [tuple(words.tokenizer.convert_tokens_to_ids(digits)) for digits in spelt]
        lead = row.ids[span.start : span.end][: span.end - span.start - len(secret)]
        span = replace(span, candidates=tuple((*lead, *value) for value in ids))
        found.append(replace(row, spans=(span,)))
    return found


def members() -> list[Encoded]:
    return rows(MEMBERS, "m")


def controls() -> list[Encoded]:
    return rows(CONTROLS, "c")


def background() -> list[Encoded]:
    return list(encode(target(), [marked(text, person="b") for text in BACKGROUND]))
