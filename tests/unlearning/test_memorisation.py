"""EL, MA and their forms on secrets: by hand on a table, and equal to the library's own generation."""

from itertools import pairwise

import pytest
import torch

from tests.unlearning.conftest import tiny_model
from tests.unlearning.sample import row
from tests.unlearning.stub import END, says
from unlearning.attacks.memorisation import accuracy, likelihoods, ngrams, overlap
from unlearning.generation import continuations, samples
from unlearning.models import LanguageModel
from unlearning.scoring import Target
from unlearning.unlearned import seeded

# The text is 1 2 3 4 5 6 after the start token. The table says 1->2->3->4, then 4->9->9->...: wrong from 5 on, 5->6.
TEXT = [END, 1, 2, 3, 4, 5, 6]
CHAIN = {END: 1, 1: 2, 2: 3, 3: 4, 4: 9, 9: 9, 5: 6}


def test_greedy_continuations_of_a_table() -> None:
    grown = continuations(says(CHAIN), [TEXT], [[1, 2, 3, 4, 5, 6]])[0]
    assert grown == [[1, 2, 3, 4, 9, 9], [2, 3, 4, 9, 9], [3, 4, 9, 9], [4, 9, 9], [9, 9], [6]]


def test_extraction_likelihood_by_hand() -> None:
    """T = 6, n = 2: prefixes i = 1..4 with the rest x_{i+1..6} and what is said after them.

    i=1: rest 23456 (4 bigrams), said 23499: 23, 34 are in it -> 2/4
    i=2: rest 3456 (3), said 3499: 34 -> 1/3
    i=3: rest 456 (2), said 499: none -> 0
    i=4: rest 56 (1), said 99 -> 0
    """
    found = likelihoods(says(CHAIN), [row(TEXT, (3, 5))], 2, 2)[0]
    whole = (2 / 4 + 1 / 3 + 0 + 0) / 4
    assert found[0] == pytest.approx(whole)


def test_extraction_likelihood_of_a_secret_by_hand() -> None:
    """The secret is 3 4 (tokens 3 and 4 of the row); bigrams that touch it, prefix by prefix.

    i=1: 23, 34, 45 of which 23 and 34 are said -> 2/3; i=2: 34, 45, said 34 -> 1/2; i=3: 45 -> 0; i=4: none, left out.
    """
    found = likelihoods(says(CHAIN), [row(TEXT, (3, 5))], 2, 2)[0]
    assert found[1] == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)


def test_accuracy_counts_first_choices_and_those_of_the_secret_alone() -> None:
    """Right: 1, 2, 3, 4 and 6; wrong: 5. The secret 4 5 is half right."""
    asked = row(TEXT, (4, 6))
    (scores,) = Target(says(CHAIN)).scores([asked])
    assert accuracy(asked, scores) == {"ma": pytest.approx(5 / 6), "s_ma": pytest.approx(1 / 2)}


def test_a_repeated_hit_counts_again_but_never_beyond_one() -> None:
    assert overlap([1, 2, 1, 2, 1, 2], [(1, 2), (2, 3)]) == 1.0
    assert overlap([1, 2, 9, 9, 9, 9], ngrams([1, 2, 3, 4, 5], 0, 2)) == 1 / 4
    assert overlap([], [(1, 2)]) == 0


def test_a_passage_shorter_than_the_n_gram_is_left_out() -> None:
    assert likelihoods(says(CHAIN), [row([END, 1, 2], (1, 2))], 10, 3) == [(None, None)]
    ((whole, secret),) = likelihoods(says(CHAIN), [row(TEXT, (3, 5))], 10, 3)
    assert whole is None
    assert secret is not None


def test_what_is_said_ends_at_the_end_token_even_where_the_text_holds_one() -> None:
    table = {1: 2, 2: END, 3: 4, 4: 5}  # the end token is the true one after 2
    assert continuations(says(table), [[END, 1, 2, END, 3]], [[2]]) == [[[2]]]


@pytest.mark.parametrize("kind", ["victim", "gpt2", "llama", "neox"])
def test_continuations_equal_the_librarys_generation_for_every_prefix(
    kind: str, victim: LanguageModel, untrained: LanguageModel
) -> None:
    model = victim if kind == "victim" else tiny_model(kind, untrained)
    said = ["Petra Zimmer asked us to call 212-555-0137.", "The form of Petra", "call 212-555"]
    texts = [
        [0, *model.tokenizer(text)["input_ids"]] for text in said[-3 if kind == "victim" else -1 :]
    ]
    prefixes = [range(1, len(ids)) for ids in texts]
    end = model.tokenizer.eos_token_id
    for ids, grown in zip(texts, continuations(model, texts, prefixes), strict=True):
        for i, tokens in enumerate(grown, start=1):
            whole = model.network.generate(
                torch.tensor([ids[:i]]),
                attention_mask=torch.ones(1, i, dtype=torch.long),
                max_new_tokens=len(ids) - i,
                do_sample=False,
                pad_token_id=model.tokenizer.pad_token_id,
            )[0, i:].tolist()
            assert tokens == (whole[: whole.index(end)] if end in whole else whole)


def test_samples_are_drawn_by_their_own_generator(small: LanguageModel) -> None:
    state = torch.get_rng_state()
    first, second = (samples(small, 5, 12, seeded(3), batch=2) for _ in range(2))
    assert first == second
    assert first != samples(small, 5, 12, seeded(4), batch=2)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(r[0] == small.tokenizer.bos_token_id and 1 < len(r) <= 12 for r in first)


def test_a_table_says_the_chain_it_was_given() -> None:
    model = says(CHAIN)
    with torch.no_grad():
        choices = model.network(input_ids=torch.tensor([TEXT])).logits[0].argmax(-1).tolist()
    assert choices[:4] == [b for _, b in pairwise(TEXT)][:4]
    assert choices[4:6] == [9, 6]
