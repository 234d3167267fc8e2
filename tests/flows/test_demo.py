"""What the demo says at its end."""

import pytest

from flows.demo import verdict


@pytest.mark.parametrize(
    ("outcomes", "said"),
    [
        ("PASS", "PASS by a"),
        ("FAIL", "FAIL by a"),
        ("FAIL FAIL PASS", "PASS by c, after a and b had not passed"),
        ("PASS PASS", "PASS by b"),
    ],
)
def test_methods_that_were_tried_in_vain_are_named(outcomes: str, said: str) -> None:
    tried = [{"method": m, "outcome": o} for m, o in zip("abc", outcomes.split(), strict=False)]
    assert verdict(tried) == said
