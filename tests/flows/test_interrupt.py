"""Ctrl-C in the middle of an erasure: what the person is told, and that Prefect's server hears nothing of it."""

import json
import os
import subprocess
import sys

import pytest

from flows import cli, desk

SCRIPT = """
import os, signal, time
from flows import desk
desk.start_prefect()
signal.signal(signal.SIGINT, signal.SIG_IGN)
os.killpg(0, signal.SIGINT)
time.sleep(2)
from prefect.client.orchestration import get_client
print("failed:", get_client(sync_client=True).api_healthcheck())
"""


def test_an_interrupted_erasure_says_how_to_go_on(monkeypatch, capsys):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(desk, "erase", interrupted)
    monkeypatch.setattr(sys, "argv", ["lethe", "erase", "er-0123456789abcdef", "--json"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    said = json.loads(capsys.readouterr().out)
    assert said["error"] == "interrupted"
    assert "run the same command again" in said["sentence"]


def test_ctrl_c_leaves_the_server_that_the_flow_still_talks_to(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=os.environ | {"PREFECT_HOME": str(tmp_path), "PREFECT_API_URL": ""},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        start_new_session=True,
    )
    assert "failed: None" in done.stdout, done.stderr
