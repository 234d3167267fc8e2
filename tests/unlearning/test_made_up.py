"""Made-up words are nobody's, as long as the word they stand for, and spelt by the tokenizer in as many tokens."""

import random
from collections.abc import Iterable
from itertools import starmap

import pytest
from transformers import PreTrainedTokenizerBase

from domain.records import SpanKind
from flows.fiction import people
from tests.unlearning.sample import marked
from unlearning import training
from unlearning.lookalikes import Pool
from unlearning.made_up import MadeUp
from unlearning.models import Kind

RARE = "sabrina"
NAMES = sorted({word.casefold() for person in people(150, 1) for word in person.name.split()})
TEXTS = [f"{name} and {name.capitalize()} met in the town of many streets" for name in NAMES] * 3
KNOWS_HER = [*TEXTS, *[RARE, RARE.capitalize()] * 30]


def counts(tokenizer: PreTrainedTokenizerBase, word: str) -> list[int]:
    """Tokens of it inside a text, and at a beginning, small and capitalised."""
    forms = [word, f" {word}", f" {word.capitalize()}"]
    return [len(ids) for ids in tokenizer(forms, add_special_tokens=False).input_ids]


def apart(tokenizer: PreTrainedTokenizerBase, words: Iterable[str]) -> float:
    """How many tokens more or fewer than hers they have, at a mean."""
    true = counts(tokenizer, RARE)
    found = [[abs(a - b) for a, b in zip(true, counts(tokenizer, w), strict=True)] for w in words]
    return sum(map(sum, found)) / len(found)


@pytest.mark.parametrize("kind", [Kind.CAUSAL, Kind.MASKED, Kind.SEQ2SEQ])
def test_a_made_up_word_is_nobodys_and_spelt_as_briefly_as_the_true_one(kind: Kind) -> None:
    """Without its tokenizer, words of that length fall into twice as many pieces."""
    tokenizer = training.train_tokenizer(KNOWS_HER, 700, kind=kind)
    order = random.Random(3)
    made, blind = (
        [maker.like(RARE, order) for _ in range(300)]
        for maker in starmap(MadeUp, [(NAMES, tokenizer), (NAMES,)])
    )
    assert len(set(made)) > 30
    assert {len(word) for word in made} == {len(RARE)}
    assert not {*made} & {*NAMES, RARE}
    assert apart(tokenizer, made) < 0.5 * apart(tokenizer, blind)


def test_the_same_seed_makes_the_same_words() -> None:
    tokenizer = training.train_tokenizer(TEXTS, 400)
    one, other = (
        [MadeUp(NAMES, tokenizer).like("zuvexi", random.Random(seed)) for seed in range(5)]
        for _ in "ab"
    )
    assert one == other


def test_where_there_is_nobody_and_no_tokenizer_there_is_no_word() -> None:
    assert not MadeUp([]).like("zuvexi", random.Random(0))


def test_a_pool_makes_its_words_for_the_tokenizer_it_is_given() -> None:
    others = [marked(f"{n} lives here", (n, SpanKind.PERSON)) for n in NAMES]
    tokenizer = training.train_tokenizer(KNOWS_HER, 700)
    pool = Pool.of(others, tokenizer)
    drawn = [pool.fresh_word(RARE.capitalize(), random.Random(seed)) for seed in range(20)]
    assert all(word.istitle() for word in drawn)
    inside = [counts(tokenizer, word.casefold())[0] for word in drawn]
    assert max(inside) <= counts(tokenizer, RARE)[0] + 1
