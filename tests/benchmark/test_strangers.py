"""The other way to make up words that `tests.benchmark.strangers` compares with the shipped one."""

import random

from domain.records import SpanKind
from tests.benchmark.strangers import by_pattern
from tests.unlearning.sample import marked
from unlearning import training
from unlearning.lookalikes import Pool


def test_a_word_by_pattern_is_nobodys_and_keeps_vowels_case_and_about_the_tokens() -> None:
    names = ["Maren", "Tolvik", "Ingrid", "Sabrina"]
    texts = [f"{name} {name.lower()} lives in the town of many streets" for name in names] * 9
    tokenizer = training.train_tokenizer(texts, 400)
    model = training.new_model(tokenizer, width=8, layers=1, context=32, seed=0, heads=1)
    pool = Pool.of([marked(f"{name} lives here", (name, SpanKind.PERSON)) for name in names[:3]])
    word = by_pattern(model)
    drawn = [word(pool, "Sabrina", random.Random(seed)) for seed in range(20)]
    vowels = [[letter in "aeiou" for letter in made.lower()] for made in drawn]
    assert vowels == [[False, True, False, False, True, False, True]] * 20
    assert all(made.istitle() and not pool.has(made) for made in drawn)
    counts = [len(tokenizer(made.lower()).input_ids) for made in drawn]
    blind = ["".join(random.Random(seed).choices("bdfgklmnprst", k=7)) for seed in range(20)]
    assert sum(counts) < sum(len(tokenizer(made).input_ids) for made in blind)
