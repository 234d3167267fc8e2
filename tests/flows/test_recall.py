"""How much the search finds is measured beside every corpus, the same again on a restart, and never in the corpus."""

import pytest
import yaml

from flows.bench import Bench, open_stores
from flows.intake import load_request
from flows.search import locate_corpus
from tests.flows.conftest import REQUEST, Home

LINES = [
    "Wilhelmina Zauberlinde wrote again.",
    "The harbour was quiet.",
    "Rain came. It took all day.",
]


@pytest.fixture
def located(home: Home, lethe_home):
    """Search the corpus of a request under a policy that plants so many."""
    from flows import desk

    (lethe_home / "letters.txt").write_text("\n".join(LINES), "utf-8")
    rows = lethe_home / "letters.jsonl"
    rows.write_text("".join(f'{{"text": "{line}"}}\n' for line in LINES * 20), "utf-8")
    catalog = (lethe_home / "catalog.yaml").read_text("utf-8")
    (lethe_home / "catalog.yaml").write_text(catalog.replace("letters.txt", "letters.jsonl"))
    ref = desk.add(home.write(REQUEST))["request"]

    def locate(planted: int) -> Bench:
        path = lethe_home / "policy.yaml"
        policy = yaml.safe_load(path.read_text("utf-8"))
        policy["recall"]["planted"] = planted
        path.write_text(yaml.safe_dump(policy), "utf-8")
        with open_stores() as stores:
            bench = Bench(stores, load_request(ref, stores.vault), None, 1, None)
            assert locate_corpus.fn(bench, "letters") == 20
            return bench

    before = rows.read_bytes()
    yield locate
    assert rows.read_bytes() == before


def test_the_recall_of_a_run_is_measured_beside_its_search(located):
    [first, again] = [
        located(40).recall["letters"] for _ in range(2)
    ]  # the second search is remembered
    assert first == again
    assert first.found.trials == 40
    assert first.found.value > 0.8


def test_a_policy_that_plants_nothing_measures_nothing(located):
    assert located(0).recall == {"letters": None}
