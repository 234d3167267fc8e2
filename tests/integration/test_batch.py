"""A batch in a process of its own: one search for all, one request that fails stops no other, and the batch says so."""

import json
import shutil

import pytest

from flows import fiction
from tests.integration.stores import hits

pytestmark = pytest.mark.integration

SCRIPT = """
import json
from detectors.net import Net
from flows.deployments import erasure_batch
looked, catch = {}, Net.catch
def counted(net, texts):
    people = len(net.subjects)
    if not any("." in subject.request_ref for subject in net.subjects):  # made-up people are counted elsewhere
        looked[people] = looked.get(people, 0) + len(texts)
    return catch(net, texts)
Net.catch = counted
state = erasure_batch(return_state=True)
print(json.dumps({"type": state.type.value, "message": state.message, "looked": looked}))
"""


def test_one_request_that_fails_stops_no_other(world):
    stranger = fiction.people(60, seed=11)[-1]  # whom the corpus does not mention
    broken, whole = world.file(world.people[3], "short-lived"), world.file(stranger, "assistant")
    shutil.rmtree(world.folder / "short-lived")  # between filing and erasing, the model disappears
    done = world.python(SCRIPT, PREFECT_LOGGING_LEVEL="CRITICAL")
    state = json.loads(done.stdout.splitlines()[-1])
    corpus = (world.folder / "corpus" / "letters.jsonl").read_bytes().count(b"\n")
    assert state["type"] == "FAILED", done.stderr
    assert state["message"] == "1 of 2 requests stopped; see: lethe request list"
    assert state["looked"]["2"] == corpus  # once, for both
    assert state["looked"]["1"] <= 2 * corpus  # the copy before and after, for one of them
    ends = {row["request"]: row["status"] for row in world.answer("request", "list")}
    assert ends[whole] == "no_match"
    assert (world.home / "evidence" / whole / "completion.dsse.json").is_file()
    assert ends[broken] == "unlearning"
    failed = world.answer("request", "show", broken)["events"][-1]
    assert (failed["event"], failed["payload"]["code"]) == ("step_failed", "model_unreadable")
    names = [world.people[3].name, stranger.name, stranger.phone]
    assert hits(world.folder / "prefect", names, ()) == []
