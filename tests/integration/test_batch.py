"""A batch in a process of its own: one request that fails stops no other, and the batch says so."""

import json
import shutil
import subprocess
import sys

import pytest

from tests.integration.stores import hits

pytestmark = pytest.mark.integration

SCRIPT = """
import json
from flows.deployments import erasure_batch
state = erasure_batch(return_state=True)
print(json.dumps({"type": state.type.value, "message": state.message}))
"""


def test_one_request_that_fails_stops_no_other(world):
    person = world.people[2]
    broken, whole = world.file(world.people[3], "short-lived"), world.file(person, "assistant")
    shutil.rmtree(world.folder / "short-lived")  # between filing and erasing, the model disappears
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=world.environment(PREFECT_LOGGING_LEVEL="CRITICAL"),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    state = json.loads(done.stdout.splitlines()[-1])
    assert state == {
        "type": "FAILED",
        "message": "1 of 2 requests stopped; see: lethe request list",
    }, done.stderr
    ends = {row["request"]: row["status"] for row in world.answer("request", "list")}
    assert ends[whole] == "fulfilled"
    assert ends[broken] == "unlearning"
    failed = world.answer("request", "show", broken)["events"][-1]
    assert (failed["event"], failed["payload"]["code"]) == ("step_failed", "model_unreadable")
    assert hits(world.folder / "prefect", [person.name, person.phone], ()) == []
