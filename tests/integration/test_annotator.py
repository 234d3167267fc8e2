"""A search whose language model dies in the middle ends with an error, and goes on from there when it is back."""

import signal
import threading
import time

import pytest

from detectors.annotator import Annotator
from detectors.exact import ExactIndex
from detectors.locate import Located, locate
from domain.errors import DetectionFailed
from tests.detectors.conftest import document, person
from tests.detectors.serving import free_port, served

pytestmark = pytest.mark.integration

MAREN = person(name="Maren Tolvik")
PRIVATE = [f"the only dentist in town {n:02}" for n in range(60)]
TEXTS = [f"Maren Tolvik was {p} then, and the tea was cold that year." for p in PRIVATE]


def search(annotator: Annotator) -> Located:
    documents = [document(text, f"a#{n}") for n, text in enumerate(TEXTS, start=1)]
    return locate(documents, MAREN, {"exact": ExactIndex(), "annotator": annotator})


def slow(port: int, model: str = "slow") -> Annotator:
    return Annotator("chat", model, endpoint=f"http://127.0.0.1:{port}/v1", timeout=20, threads=4)


def test_a_server_that_is_killed_in_the_middle_is_an_error_and_a_resumed_run_finds_everything(
    tmp_path,
):
    port = free_port()
    annotator = slow(port)
    ends: list[object] = []

    def run() -> None:
        try:
            ends.append(search(annotator))
        except DetectionFailed as failed:
            ends.append(failed)

    with served(tmp_path, PRIVATE, port) as server:
        running = threading.Thread(target=run)
        running.start()
        until = time.monotonic() + 60
        while server.counts()["asked"] < 40 and time.monotonic() < until:
            time.sleep(0.01)
        server.process.send_signal(signal.SIGKILL)
        running.join(60)
    [failed] = ends
    assert isinstance(failed, DetectionFailed)
    assert "cannot be reached" in failed.remedy
    assert "dentist" not in failed.sentence

    with served(tmp_path, PRIVATE, port) as server:
        other = slow(port)
        other.resume(annotator.answers())
        assert b"dentist" not in annotator.answers()
        for resumed in (annotator, other):
            before = server.counts()["asked"]
            found = search(resumed)
            marked = [s for s in found.spans if s.detector == "annotator"]
            assert [TEXTS[n][s.start : s.end] for n, s in enumerate(marked)] == PRIVATE
            asked = server.counts()["asked"] - before
            assert 0 < asked <= 2 * len(TEXTS) - 30  # the rest was known; four were under way


def test_a_server_that_dies_within_an_answer_is_an_error(tmp_path):
    with served(tmp_path, PRIVATE) as server:
        with pytest.raises(DetectionFailed) as caught:
            search(slow(server.port, "dies"))
        assert server.process.wait(10) == 9
    assert "cannot be reached or broke off" in caught.value.remedy
