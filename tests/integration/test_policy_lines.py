"""One line of the policy is one method: shards that cannot be used exactly are followed by `eul`, `kga` and `quark`."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from reports import dsse
from reports.tracking import Tracking
from reports.words import VERDICTS
from tests.integration.world import World, request_of

pytestmark = pytest.mark.integration

FEW = {"samples": 8, "length": 24}
LINES = {
    "knows": [  # the base of the shards is a model that knows everybody
        {"name": "sisa", "when": {"shards": True}},
        {"name": "eul", "options": FEW | {"steps": 40}},
    ],
    "moved": [  # the rows of the same corpus in other places
        {"name": "sisa", "when": {"shards": True}},
        {
            "name": "quark",
            "options": {"rounds": 2, "steps": 45, "prompts": 4, "batch": 4, "rehearsed": 8} | FEW,
        },
        {
            "name": "kga",
            "when": {"shards": True},
            "options": FEW | {"strangers": 1, "helper_rate": 3e-3, "steps": 40},
        },
    ],
}
"""Methods by corpus, in the order in which they are tried."""


@dataclass(frozen=True)
class Lines:
    """The world, and the answers to both requests by corpus."""

    world: World
    answers: dict[str, Any]

    def evidence(self, corpus: str) -> list[dict[str, Any]]:
        """What was signed of each attempt, in order."""
        folder = self.world.home / "evidence" / self.answers[corpus]["request"]
        files = sorted(folder.glob("verification-*.dsse.json"))
        key = load_pem_public_key((folder / "public.pem").read_bytes())
        assert isinstance(key, EllipticCurvePublicKey)
        signed = [json.loads(dsse.open_envelope(f.read_bytes(), [key])) for f in files]
        return [statement["predicate"] for statement in signed]

    def page(self, corpus: str) -> str:
        return unescape(Path(self.answers[corpus]["report"]).read_text())


@pytest.fixture(scope="module")
def lines(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lines]:
    folder = tmp_path_factory.mktemp("lines")
    own = World(folder, world.people)
    (folder / "tmp").mkdir()
    texts = (world.folder / "corpus" / "letters.jsonl").read_text().splitlines()
    rows = [json.loads(text) for text in texts]
    for number, row in enumerate(rows):  # three of each person
        row["who"] = f"{number // 3}"
        row["region"] = ("north", "south")[number // 3 % 2]
    catalog: dict[str, Any] = {"corpora": {}, "models": {}}
    for name, put in (("knows", rows), ("moved", rows[3:] + rows[:3])):
        (folder / name).mkdir()
        written = "".join(json.dumps(row) + "\n" for row in put)
        (folder / name / "letters.jsonl").write_text(written)
        catalog["corpora"][name] = {"path": name}
        catalog["models"][name] = {"path": "run/model", "corpora": [name], "shards": "run"}
    base = world.folder / "assistant"
    catalog["models"]["whole"] = {"path": str(base), "corpora": ["moved"]}
    (folder / "catalog.yaml").write_text(yaml.safe_dump(catalog))
    policy = yaml.safe_load((world.folder / "policy.yaml").read_text())
    policy["attacks"] = {"extraction": {}}
    policy["comparison"]["controls"] = 3
    policy["comparison"]["groups"] = {"field": "region", "values": ["north", "south"]}
    policy["recall"]["planted"] = 0
    for name, order in LINES.items():
        policy["methods"]["order"] = order
        # of the person of the first six or seven of eleven are said before, of the other's all
        policy["thresholds"]["extraction_margin"] = {"knows": 0.2, "moved": 0.45}[name]
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(policy, sort_keys=False))
    steps = ("--person-field", "who", "--shards", 2, "--steps", 1, "--rank", 2)
    asked = {
        "knows": request_of(own.people[4], "knows"),
        "moved": request_of(own.people[5], "moved"),
    }
    for name, request in asked.items():
        models = [m for m, entry in catalog["models"].items() if entry["corpora"] == [name]]
        scope = {"scope": {"models": models, "corpora": [name]}}
        (folder / f"ask-{name}.yaml").write_text(yaml.safe_dump(request | scope))
    policies = [f"LETHE_POLICY={folder / name}.yaml" for name in LINES]
    *_, knows, moved = own.answers(
        ["keys", "create"],
        ["train", base, "--data", folder / "knows", "--out", folder / "run", *steps],
        *([policies[0], "request", "add", folder / f"ask-{name}.yaml"] for name in LINES),
        *([policy, "erase", f"@{n}"] for n, policy in enumerate(policies, start=2)),
    )
    yield Lines(own, {"knows": knows, "moved": moved})
    shutil.rmtree(folder)


def tried(lines: Lines, corpus: str, model: str) -> list[tuple[str, str, str, str]]:
    """Method, code, deletion and outcome of each attempt on a model, as they were signed."""
    found = [e for e in lines.evidence(corpus) if e["model"]["name"] == model]
    return [
        (
            (attempt := e["attempt"])["method"],
            attempt["error"],
            attempt["trace"]["deletion"] if attempt["trace"] else "",
            e["verdict"]["outcome"] if e["verdict"] else "NOT_RUN",
        )
        for e in found
    ]


def test_a_base_that_knows_the_person_is_followed_by_eul_and_the_page_says_why(
    lines: Lines,
) -> None:
    assert lines.answers["knows"]["status"] == "fulfilled"
    assert tried(lines, "knows", "knows") == [
        ("sisa", "base_knows_person", "", "NOT_RUN"),
        ("eul", "", "approximate", "PASS"),
    ]
    page = lines.page("knows")
    assert "What is in service is approximate" in page
    assert (
        "Exact deletion was tried first and is not what is in service: the model beneath the parts "
        "already knows this person." in page
    )


def test_rows_that_were_moved_are_followed_by_quark_which_may_not_pass_and_by_kga(
    lines: Lines,
) -> None:
    assert tried(lines, "moved", "moved") == [
        ("sisa", "method_inapplicable", "", "NOT_RUN"),
        ("quark", "", "suppression", "INCONCLUSIVE"),
        ("kga", "", "approximate", "PASS"),
    ]
    assert "the manifest of the parts does not fit" in lines.page("moved")


def test_what_quark_alone_made_is_neither_called_erased_nor_put_into_service(lines: Lines) -> None:
    assert lines.answers["moved"]["status"] == "inconclusive"
    assert tried(lines, "moved", "whole") == [("quark", "", "suppression", "INCONCLUSIVE")]
    (told,) = [a for a in lines.answers["moved"]["attempts"] if a["model"] == "whole"]
    assert told["reason"] == "deletion"
    for one in lines.evidence("moved"):
        checks = one["verdict"]["checks"] if one["verdict"] else []
        reasons = {check["reason"] for check in checks if check["name"] == "deletion"}
        assert reasons == ({"suppressed"} if one["attempt"]["method"] == "quark" else set())
    page = lines.page("moved")
    assert VERDICTS["inconclusive"] in page
    assert VERDICTS["fulfilled"] not in page
    home = lines.world.home
    made = home / "candidates" / lines.answers["moved"]["request"]
    assert [path.name for path in made.glob("*/*")] == ["3-kga"]
    current = Tracking(f"sqlite:///{home}/mlflow.db", home / "mlflow").current("whole")
    assert current is not None
    assert current.name == "assistant"


def test_the_facts_of_each_method_are_signed(lines: Lines) -> None:
    signed = [e["attempt"] for corpus in LINES for e in lines.evidence(corpus)]
    facts = {a["method"]: a["trace"]["facts"] for a in signed if a["trace"]}
    assert float(facts["eul"]["layers"]) == 2  # one for each block
    assert float(facts["eul"]["never_seen_nll"]) > 1
    assert float(facts["quark"]["leak_before"]) > 0.2
    assert float(facts["quark"]["sampled"]) > float(facts["quark"]["kept"])
    gaps = {name: float(facts["kga"][f"gap_{name}"]) for name in ("start", "end", "strangers")}
    assert gaps["start"] < 0.1 * gaps["strangers"]
    assert gaps["end"] > gaps["start"]


def test_what_it_cost_each_named_group_is_signed_before_and_after(lines: Lines) -> None:
    last = lines.evidence("knows")[-1]
    before, after = (last[when]["utility"]["measures"] for when in ("before", "after"))
    people = int(before["gap_worst"]["trials"])
    for measure in ("group_loss/", "group_leak/"):
        named = {name for name in before if name.startswith(measure)}
        assert named
        assert named == {name for name in after if name.startswith(measure)}
        assert named <= {f"{measure}north", f"{measure}south"}
    losses = [name for name in before if name.startswith("group_loss/")]
    for measures in (before, after):
        assert sum(measures[name]["trials"] for name in losses) == people
    assert all(before[name]["value"] != after[name]["value"] for name in losses)
    borne = lines.page("knows").split("Who bears it")[1].split("How to read")[0]
    assert "The groups are those that the policy names" in borne
    assert all(name.removeprefix("group_loss/") in borne for name in losses)
