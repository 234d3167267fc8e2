"""What a person at a terminal sees: tables, one sentence for an error, a line that moves; or JSON for a program."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from domain.errors import ErasureError

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
"""The option that every command has."""
SHORT = 20  # characters of a cell that is never broken: a reference, a date


def show(value: Any, as_json: bool, words: Callable[[], None]) -> None:
    """Print `value` as JSON, or let `words` say it."""
    if as_json:
        sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")
    else:
        words()


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table; numbers stand to the right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(
        title=title or None,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 0, 0, 1),
    )
    for number, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[number], int | float) for row in rows)
        short = all(len(str(row[number])) <= SHORT and " " not in str(row[number]) for row in rows)
        made.add_column(
            column, justify="right" if numeric else "left", overflow="fold", no_wrap=short
        )
    for row in rows:
        made.add_row(*(Text(_cell(cell), style=_STYLES.get(str(cell), "")) for cell in row))
    # a terminal that is too narrow breaks the lines; a reference cut short could not be copied
    needed = sum(
        2 + max(len(str(text)) for text in (c.header, *c.cells)) if c.no_wrap else 8
        for c in made.columns
    )
    Console(width=max(Console().width, needed)).print(made)


_STYLES = {
    "PASS": "green",
    "fulfilled": "green",
    "no_match": "green",
    "ok": "green",
    "FAIL": "red",
    "not_erased": "red",
    "wrong": "red",
    "INCONCLUSIVE": "yellow",
    "inconclusive": "yellow",
    "not checked": "yellow",
}


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.1f}"
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else str(value)


def facts(title: str, rows: Sequence[tuple[str, object]]) -> None:
    """Print names and values, one a line, never cut."""
    width = max((len(name) for name, _ in rows), default=0)
    lines = [title] if title else []
    lines += [f"{name.replace('_', ' '):<{width}}  {_cell(value)}" for name, value in rows]
    sys.stdout.write("\n".join(lines) + "\n")


def say(text: str) -> None:
    """One plain line."""
    sys.stdout.write(text + "\n")


def fail(error: ErasureError, as_json: bool) -> int:
    """Say what stopped and what to do, in one sentence; return the exit code."""
    if as_json:
        report = {"error": error.code.value, "sentence": error.sentence}
        sys.stdout.write(json.dumps(report, ensure_ascii=False) + "\n")
    else:
        red, plain = ("\033[1;31m", "\033[0m") if sys.stderr.isatty() else ("", "")
        sys.stderr.write(f"{red}error:{plain} {error.sentence}\n")
    return error.exit_code


@contextmanager
def moving(task: str, quiet: bool) -> Iterator[None]:
    """A line on stderr that shows the step and how far it is, while a run works in the block."""
    from flows import progress

    if quiet or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        line = bar.add_task(task, total=None)

        def sink(step: str, done: int, total: int) -> None:
            shown = bar.tasks[0]
            shown.total = total or None  # update() keeps the last step's
            bar.update(line, description=f"{task}: {step.replace('_', ' ')}", completed=done)
            shown.finished_time = None  # a step's end is not the run's: clock and spinner go on

        stop = progress.watch(sink)
        try:
            yield
        finally:
            stop()


def counts(by_name: Mapping[str, int]) -> str:
    """`3 e-mail, 2 phone`, or a dash."""
    return ", ".join(f"{count} {name}" for name, count in by_name.items()) or "-"
