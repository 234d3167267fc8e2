"""What a person at a terminal sees of a table without rows and of a run that goes from step to step."""

import io
import re
import sys

from flows import console, progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_table_without_rows_has_its_headings(capsys):
    console.table("", ("request", "status"), [])
    assert "status" in capsys.readouterr().out


def test_a_step_of_unknown_length_after_a_full_one_moves_on(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with console.moving("er-1", quiet=False):
        progress.advance("measure", 9, 9)
        progress.advance("unlearn")
    seen = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", sys.stderr.getvalue())
    assert re.search(r"[\u2801-\u28ff] er-1: unlearn ━+ 0/\?", seen), "a spinner, and no old total"
