"""The annotator in a policy: built or refused by its keys, asked after by the doctor, gone on with from the vault."""

import json

import pytest
import yaml

from domain.errors import Code, DetectionFailed, RequestRejected
from flows import build, desk, memories
from flows.bench import Bench, open_stores
from flows.doctor import examine
from flows.intake import load_request
from flows.search import locate_corpus
from tests.detectors.serving import free_port, served
from tests.flows.conftest import REQUEST

DENTIST = "the only dentist in Halden"
TEXT = f"Wilhelmina Zauberlinde was {DENTIST} then, and the tea was cold in that year and the next."


def switched_on(home_folder, **options):
    """The policy file with the annotator in it."""
    path = home_folder / "policy.yaml"
    policy = yaml.safe_load(path.read_text("utf-8"))
    policy["detectors"]["annotator"] = {"backend": "chat", "model": "right", **options}
    path.write_text(yaml.safe_dump(policy), "utf-8")


def local(port: int) -> str:
    return f"http://127.0.0.1:{port}/v1"


def edited(policy, **options):
    detectors = {**policy.detectors, "annotator": options}
    return type(policy).model_validate(policy.model_dump() | {"detectors": detectors})


def test_the_shipped_policy_leaves_it_off(home):
    assert set(build.detectors(home.policy)) == {"exact", "presidio"}


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ({"backend": "chat"}, "policy.yaml, detectors.annotator"),
        ({"backend": "oracle", "model": "m"}, "policy.yaml, detectors.annotator"),
        (
            {"backend": "chat", "model": "m", "endpoint": local(1), "threads": "four"},
            "policy.yaml, detectors.annotator.threads",
        ),
        (
            {"backend": "chat", "model": "m", "api_key": "sk-1"},
            "policy.yaml, detectors.annotator.api_key",
        ),
        (
            {"backend": "chat", "model": "m", "endpoint": "https://models.example.org/v1"},
            "detectors.annotator.endpoint",
        ),
    ],
)
def test_what_it_cannot_be_is_refused_before_anything_is_done(home, options, place):
    with pytest.raises(RequestRejected) as refused:
        build.everything(edited(home.policy, **options))
    assert refused.value.place == place
    assert refused.value.code is Code.POLICY_INVALID


def test_a_host_that_the_policy_names_may_be_asked(home):
    named = {"endpoint": "https://models.example.org/v1", "remote": ["models.example.org"]}
    build.everything(edited(home.policy, backend="chat", model="m", **named))


def examined(check: str):
    return next(finding for finding in examine() if finding.check == check)


def test_the_doctor_names_an_endpoint_that_does_not_answer(home, lethe_home, tmp_path):
    assert examined("annotator").detail == "off in the policy"
    switched_on(lethe_home, endpoint=local(free_port()))
    found = examined("annotator")
    assert not found.ok
    assert "cannot be reached" in found.detail
    with served(tmp_path, [DENTIST]) as server:
        switched_on(lethe_home, endpoint=server.endpoint)
        assert examined("annotator").ok


def test_a_run_goes_on_with_what_an_earlier_one_learned(home, lethe_home, tmp_path):
    (lethe_home / "letters.txt").write_text(TEXT, "utf-8")
    port = free_port()
    switched_on(lethe_home, endpoint=local(port), timeout=5)

    def located(ref: str) -> int:
        with open_stores() as stores:
            bench = Bench(stores, load_request(ref, stores.vault), None, 1, None)
            return locate_corpus.fn(bench, "letters")

    ref = desk.add(home.write(REQUEST))["request"]
    with pytest.raises(DetectionFailed):
        located(ref)
    with served(tmp_path, [DENTIST], port):
        assert located(ref) == 2
    assert located(ref) == 2  # nobody listens any more
    learned = home.vault.get(ref, "answers/annotator")
    assert len(json.loads(learned)) == 2
    assert b"dentist" not in learned
    with open_stores() as stores:
        bench = Bench(stores, load_request(ref, stores.vault), None, 1, None)
        memories.forget(stores, bench.request, bench.detectors)
    assert home.vault.get(ref, "answers/annotator") is None
