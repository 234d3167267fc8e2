"""The command line. Nothing heavy is imported before a command needs it: `lethe --help` answers at once."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from domain.errors import Code, ErasureError
from flows import console, shard_commands
from flows.console import Json

app = typer.Typer(
    name="lethe",
    help="A right-to-be-forgotten pipeline for language models: request, search, unlearning, attacks, signed evidence.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich's help imports a markdown parser: half a second
)
requests = typer.Typer(
    help="File, list, show and withdraw requests.", no_args_is_help=True, rich_markup_mode=None
)
keys = typer.Typer(
    help="The master key of the vault and the signing key.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(requests, name="request")
app.add_typer(keys, name="keys")

Ref = Annotated[
    str, typer.Argument(metavar="REF", help="The request's reference, er-…", show_default=False)
]

GOOD_ENDS = ("fulfilled", "no_match")


def main() -> None:
    """Run, and turn what stops us into one sentence and an exit code."""
    try:
        app()
    except ErasureError as error:
        sys.exit(console.fail(error, "--json" in sys.argv))
    except Exception as error:  # noqa: BLE001  its text may hold personal data: say where, not what
        from flows.unexpected import where

        stopped = ErasureError(
            Code.UNEXPECTED,
            place=f"unexpected {type(error).__name__} at {where(error)}",
            remedy="nothing was promoted; run `lethe doctor`, and report this line.",
        )
        sys.exit(console.fail(stopped, "--json" in sys.argv))


@requests.command("add")
def request_add(
    file: Annotated[Path, typer.Argument(help="The request as YAML.", show_default=False)],
    as_json: Json = False,
) -> None:
    """File a request; prints its opaque reference."""
    from flows import desk

    filed = desk.add(file)
    console.show(filed, as_json, lambda: console.say(str(filed["request"])))


@requests.command("list")
def request_list(as_json: Json = False) -> None:
    """All requests, with their due dates."""
    from flows import desk

    rows = desk.listed()
    columns = ("request", "status", "due", "days_left", "models", "corpora")
    console.show(
        rows,
        as_json,
        lambda: console.table("", columns, [[row[c] for c in columns] for row in rows]),
    )


@requests.command("show")
def request_show(ref: Ref, as_json: Json = False) -> None:
    """What happened to a request. Shows no personal data."""
    from flows import desk

    case = desk.shown(ref)

    def words() -> None:
        facts = [(k, v) for k, v in case.items() if k != "events"]
        console.facts(f"Request {ref}", facts)
        columns = ("seq", "event", "at", "detail")
        console.table("Events", columns, [[e[c] for c in columns] for e in case["events"]])

    console.show(case, as_json, words)


@requests.command("withdraw")
def request_withdraw(ref: Ref, as_json: Json = False) -> None:
    """Withdraw a request before its corpus is changed; its data are destroyed at once."""
    from flows import desk

    withdrawn = desk.withdraw(ref)
    console.show(
        withdrawn, as_json, lambda: console.say(f"{ref} is withdrawn; its key is destroyed")
    )


@app.command()
def locate(
    ref: Ref,
    reveal: Annotated[
        bool, typer.Option("--reveal", help="Print the text of every span. Personal data.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Search the request's corpora and count what belongs to the person. Changes neither corpus nor model."""
    from flows import desk

    with console.moving(ref, as_json):
        found = desk.find(ref, reveal=reveal)

    def words() -> None:
        columns = ("corpus", "documents", "candidates", "spans", "uncertain", "kinds")
        rows = [
            [console.counts(c["by_kind"]) if k == "kinds" else c[k] for k in columns] for c in found
        ]
        console.table("", columns, rows)
        if reveal:
            shown = ("document", "kind", "text")
            for corpus in found:
                rows = [[span[k] for k in shown] for span in corpus["texts"]]
                console.table(corpus["corpus"], shown, rows)

    console.show(found, as_json, words)


@app.command()
def erase(
    refs: Annotated[list[str], typer.Argument(metavar="REF…", show_default=False)],
    as_json: Json = False,
) -> None:
    """Erase requests: corpus, models, evidence. Exit code 0 when all end fulfilled or no_match."""
    from flows import desk

    ends, worst = [], 0
    for ref in refs:
        try:
            with console.moving(ref, as_json):
                end = desk.erase(ref)
            worst = worst or int(end["status"] not in GOOD_ENDS)
        except KeyboardInterrupt:
            raise ErasureError(
                Code.INTERRUPTED,
                place=f"request {ref}",
                remedy="interrupted; run the same command again, and it goes on from where it stopped.",
            ) from None
        except ErasureError as error:
            if len(refs) == 1:
                raise
            end = {"request": ref, "error": error.code.value, "sentence": error.sentence}
            worst = error.exit_code
            if not as_json:
                console.fail(error, as_json)
        ends.append(end)
        if not as_json and "error" not in end:
            _tell_end(end)
    if as_json:
        console.show(ends[0] if len(refs) == 1 else ends, as_json, lambda: None)
    raise typer.Exit(worst)


def _tell_end(end: dict[str, object]) -> None:
    columns = ("model", "method", "deletion", "outcome", "reason", "seconds")
    attempts = end["attempts"]
    if isinstance(attempts, list) and attempts:
        rows = [[a[c] for c in columns] for a in attempts]
        console.table(f"Request {end['request']}", columns, rows)
    console.facts("", [(k, end[k]) for k in ("status", "report", "bundle")])


@app.command()
def export(
    ref: Ref,
    out: Annotated[Path, typer.Option("--out", help="The zip to write.", show_default=False)],
    as_json: Json = False,
) -> None:
    """Write the signed evidence of a request's last run."""
    from flows import desk

    written = desk.export(ref, out)
    console.show(
        written,
        as_json,
        lambda: console.say(f"{out}\nsha256 {written['sha256']}\ncheck it: lethe verify {out}"),
    )


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="An exported zip.", show_default=False)],
    key: Annotated[
        Path | None,
        typer.Option("--key", help="The public key you trust (PEM).", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check an exported zip, offline. Any doubt is an error."""
    from flows import desk

    checked = desk.verified(file, key)

    def words() -> None:
        rows = [
            (s["number"], "ok" if s["ok"] else "not checked", s["name"], s["note"])
            for s in checked["steps"]
        ]
        console.table(f"{file.name}", ("", "", "step", "note"), rows)
        console.facts("", [(k, v) for k, v in checked.items() if k != "steps"])
        if not checked["trusted"]:
            console.say(
                "The zip is whole and signed by one key. Whose key it is was not checked: compare the fingerprint, "
                "or name the key you trust with --key."
            )

    console.show(checked, as_json, words)


@app.command()
def methods(as_json: Json = False) -> None:
    """The ways to forget, with their options."""
    from flows import desk

    _tell_kinds(desk.methods(), as_json)


@app.command()
def attacks(as_json: Json = False) -> None:
    """The ways to try to get it back, with their options."""
    from flows import desk

    _tell_kinds(desk.attacks(), as_json)


@app.command()
def detectors(as_json: Json = False) -> None:
    """The ways to find a person, with their options."""
    from flows import desk

    _tell_kinds(desk.detectors(), as_json)


def _tell_kinds(kinds: list[dict[str, object]], as_json: bool) -> None:
    columns = ("name", "what", "options")
    console.show(
        kinds, as_json, lambda: console.table("", columns, [[k[c] for c in columns] for k in kinds])
    )


app.command()(shard_commands.train)
app.command()(shard_commands.fairness)


@keys.command("create")
def keys_create(as_json: Json = False) -> None:
    """Make the master key and the signing key where they are missing; never overwrites one."""
    from flows import desk

    made = desk.create_keys()
    console.show(made, as_json, lambda: console.facts("", list(made.items())))


@app.command()
def doctor(as_json: Json = False) -> None:
    """What is missing or unsafe on this machine, and the remedy."""
    from flows.doctor import examine

    with console.moving("doctor", as_json):
        findings = list(examine())
    rows = [(f.check, "ok" if f.ok else "wrong", f.detail) for f in findings]
    value = [{"check": f.check, "ok": f.ok, "detail": f.detail} for f in findings]
    console.show(value, as_json, lambda: console.table("", ("check", "", "detail"), rows))
    raise typer.Exit(int(not all(f.ok for f in findings)))


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Where to write; emptied first.")] = Path("out/demo"),
    as_json: Json = False,
) -> None:
    """The whole job on made-up people: train, request, erase, attack, prove."""
    from flows.demo import main as run

    raise typer.Exit(run(out, as_json=as_json))


if __name__ == "__main__":
    main()
