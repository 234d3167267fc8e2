"""Words that nobody has: like others' in spelling, length, case and script, and of about as many tokens."""

import random
import unicodedata
from itertools import pairwise
from statistics import fmean

import pytest

from unlearning import training
from unlearning.made_up import MadeUp

NAMES = "Maren Tolvik Ingrid Harbour Sabrina Castellan Meadow Orchard Brackwell Sundholm".split()


@pytest.mark.parametrize("true", ["Sabrina", "SABRINA", "sabrina", "Li", "Ekström"])
def test_a_made_up_word_is_nobodys_and_has_length_and_case(true: str) -> None:
    made = MadeUp(NAMES)
    drawn = [made.like(true, random.Random(seed)) for seed in range(20)]
    assert {len(word) for word in drawn} == {len(true)}
    assert all(word.isupper() == true.isupper() for word in drawn)
    assert all(word[0].isupper() == true[0].isupper() for word in drawn)
    assert not {word.casefold() for word in drawn} & (
        {n.casefold() for n in NAMES} | {true.casefold()}
    )
    assert len(set(drawn)) > 5


@pytest.mark.parametrize("true", ["Шевченко", "Παπαδάκη", "محمد", "田中"])
@pytest.mark.parametrize("words", [[], NAMES])
def test_a_word_of_another_script_stays_in_it(true: str, words: list[str]) -> None:
    drawn = [MadeUp(words).like(true, random.Random(seed)) for seed in range(10)]
    scripts = {unicodedata.name(letter).split()[0] for word in drawn for letter in word}
    assert scripts == {unicodedata.name(letter).split()[0] for letter in true}
    assert true not in drawn


def test_letters_follow_each_other_as_in_other_peoples_words() -> None:
    pairs = {a + b for name in NAMES for a, b in pairwise(name.lower())}
    made = MadeUp(NAMES)
    drawn = [made.like("sabrena", random.Random(seed)) for seed in range(20)]
    assert {a + b for w in drawn for a, b in pairwise(w)} <= pairs


def test_a_word_that_the_tokenizer_knows_meets_words_of_few_tokens() -> None:
    texts = [f"{name} {name.lower()} lives in the town of many streets" for name in NAMES] * 9
    tokenizer = training.train_tokenizer(texts, 400)
    others = [name for name in NAMES if name != "Sabrina"]

    def tokens(made: MadeUp) -> float:
        drawn = [made.like("sabrina", random.Random(seed)) for seed in range(40)]
        return fmean(len(tokenizer(word).input_ids) for word in drawn)

    assert len(tokenizer("sabrina").input_ids) < tokens(MadeUp(others, tokenizer))
    assert tokens(MadeUp(others, tokenizer)) < tokens(MadeUp(others)) - 0.5


@pytest.mark.parametrize("true", ["a", "ª", "ﬁ", "ß", "ʻ", "々", "I"])
def test_a_letter_that_nothing_sounds_like_still_becomes_another(true: str) -> None:
    made = MadeUp([*"abcdefghijklmnopqrstuvwxyz"])
    for seed in range(5):
        assert MadeUp().like(true, random.Random(seed)).casefold() != true.casefold()
        assert made.like(true, random.Random(seed)).casefold() != true.casefold()
