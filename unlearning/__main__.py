"""`python -m unlearning`: train, unlearn and attack with torch, transformers and peft and nothing else.

    python -m unlearning train   BASE --data FILE --out FOLDER --key FILE [--person-field NAME] [--shards 8] ...
    python -m unlearning fairness SHARDS ... --data FILE --group-field NAME --label-field NAME [--json]
    python -m unlearning unlearn MODEL --examples FILE --neighbours FILE --out FOLDER [--method NAME] [--set KNOB=VALUE]
    python -m unlearning attack  MODEL --examples FILE --control FILE [--attacks NAME ...] [--results FILE] [--json]

Files are JSON lines: {"text": ..., "spans": [{"start": 3, "end": 17, "kind": "phone"}], "person": "p1"}. Kinds are
those of `domain.records.SpanKind`; `person` names the same person on every line that is about them, and may be left
out where there is only one. `--neighbours` are other people's texts of the same form; lines without spans are ordinary.
For a seq2seq model "answer" is the place in the text where what it says begins (without it: the first secret); for a
classifier "label" is the number of the text's class, and a line with a person is that person's, spans or not.
"""

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from domain.errors import Code, ErasureError, RequestRejected, Unavailable, out_of_memory
from domain.outcomes import Deletion
from domain.records import Passage
from unlearning.examples import read_examples
from unlearning.recipe import KNOBS, Recipe
from unlearning.results import as_json, plain

NOT_ALL_RAN = 7
SAID_EVERY = 10.0  # seconds between two lines about a training


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except ErasureError as error:
        return _fail(error, options.json)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        remedy = "there is too little of it; use another --device, or fewer and shorter texts."
        failed = Unavailable(Code.OUT_OF_MEMORY, place="the memory", remedy=remedy)
        return _fail(failed, options.json)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130


def _fail(error: ErasureError, as_json: bool) -> int:
    """Say what stopped; returns the exit code."""
    if as_json:
        print(json.dumps({"error": error.code.value, "sentence": error.sentence}))
    else:
        print(f"error: {error.sentence}", file=sys.stderr)
    return error.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m unlearning", description=(__doc__ or "").splitlines()[0]
    )
    commands = parser.add_subparsers(required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("model", type=Path, help="a Hugging Face model directory")
    shared.add_argument(
        "--examples", type=Path, required=True, help="the person's texts with spans"
    )
    shared.add_argument("--device", default="", help="cpu or cuda; by default whatever there is")
    shared.add_argument("--seed", type=int, default=0)
    shared.add_argument("--json", action="store_true")
    attack = commands.add_parser(
        "attack",
        parents=[shared],
        help="measure what a model gives away",
        epilog="exit codes: 0 when every attack asked for ran; 7 when one does not apply to this model or these texts "
        "and was not run (its reason is shown); 1 to 6 when the command stopped; 130 when it was interrupted.",
    )
    attack.add_argument(
        "--control",
        type=Path,
        required=True,
        help="texts about people the model never saw; lines without a person count as one of them",
    )
    attack.add_argument("--attacks", nargs="+", metavar="NAME", help="by default all")
    attack.add_argument(
        "--dtype",
        choices=("fp32", "bf16"),
        default="fp32",
        help="of the weights; scores are fp32 in either case",
    )
    attack.add_argument(
        "--neighbours",
        type=Path,
        help="other people's texts, and ordinary ones, for attacks that need them",
    )
    attack.add_argument(
        "--reference", type=Path, nargs="+", metavar="DIR", help="models that never saw the person"
    )
    attack.add_argument(
        "--retrained", type=Path, metavar="DIR", help="trained again without the person"
    )
    attack.add_argument(
        "--original", type=Path, metavar="DIR", help="before anything was unlearned"
    )
    attack.add_argument(
        "--results",
        type=Path,
        metavar="FILE.json",
        help="kept attack by attack; what it holds is not run again",
    )
    attack.set_defaults(run=_attack)
    unlearn = commands.add_parser(
        "unlearn", parents=[shared], help="make a model forget, and judge it"
    )
    unlearn.add_argument(
        "--neighbours", type=Path, required=True, help="other people's texts, and ordinary ones"
    )
    unlearn.add_argument(
        "--out", type=Path, required=True, help="folder of the new model; must not exist"
    )
    unlearn.add_argument("--method", default="selective_ascent")
    unlearn.add_argument(
        "--set", action="append", default=[], metavar="KNOB=VALUE", help="a knob of the method"
    )
    unlearn.set_defaults(run=_unlearn)
    _add_train(commands)
    _add_fairness(commands)
    return parser


def _add_train(commands: Any) -> None:
    """`train`, whose options beside places and fields are those of a recipe."""
    train = commands.add_parser(
        "train", help="train shards, from which a person can be taken out exactly"
    )
    train.add_argument("model", type=Path, help="the base: a model directory with no person in it")
    train.add_argument("--data", type=Path, required=True, help="JSON lines: a file or a folder")
    train.add_argument("--out", type=Path, required=True, help="new folder; must not exist")
    train.add_argument("--key", type=Path, required=True, help="the secret; made when missing")
    train.add_argument("--text-field", default="text")
    train.add_argument("--person-field", default="", help="label, or list of labels, of the people")
    train.add_argument("--label-field", default="", help="class of the text, for a classifier")
    for name in KNOBS:
        default = getattr(Recipe, name)
        train.add_argument(f"--{name}", type=type(default), default=default, metavar="N")
    train.add_argument("--device", default="", help="cpu or cuda; by default whatever there is")
    train.add_argument("--json", action="store_true")
    train.set_defaults(run=_train)


def _train(options: argparse.Namespace) -> int:
    """Train a model made of shards; exit 0 when it is written."""
    from unlearning.attacking import usable_device
    from unlearning.sources import read_sources
    from unlearning.train_command import train

    report = train(
        options.model,
        lambda: read_sources(
            options.data, options.text_field, options.person_field, options.label_field
        ),
        options.out,
        options.key,
        Recipe(**{name: getattr(options, name) for name in KNOBS}),
        device=usable_device(options.device),
        watch=_steps(),
    )
    print(as_json(report) if options.json else report.sentence)
    return 0


def _add_fairness(commands: Any) -> None:
    fairness = commands.add_parser(
        "fairness", help="how often a classifier's shards err for whom, and three ways to mend it"
    )
    fairness.add_argument("shards", type=Path, nargs="+", help="folders that `train` wrote")
    fairness.add_argument(
        "--data", type=Path, required=True, help="JSON lines: texts nobody learnt"
    )
    fairness.add_argument("--text-field", default="text")
    fairness.add_argument("--group-field", required=True, help="the group a text is of")
    fairness.add_argument("--label-field", required=True, help="its class")
    fairness.add_argument("--yes", default="1", help="the class that is a yes")
    fairness.add_argument("--device", default="", help="cpu or cuda; by default whatever there is")
    fairness.add_argument("--json", action="store_true")
    fairness.set_defaults(run=_fairness)


def _fairness(options: argparse.Namespace) -> int:
    """Compare the ways to answer; exit 0 when the table is there."""
    from unlearning.attacking import usable_device
    from unlearning.fairness_command import fairness
    from unlearning.sources import read_sources

    sources = read_sources(
        options.data, options.text_field, options.group_field, options.label_field
    )
    lines = fairness(options.shards, sources, options.yes, device=usable_device(options.device))
    if options.json:
        print(as_json(lines))
        return 0
    print(f"{'shards':<24}{'answers':<9}{'error':>8}{'gap':>8}{'error, held out':>17}{'gap':>8}")
    for line in lines:
        print(
            f"{Path(line.shards).name:<24}{line.variant:<9}{line.error_fitted:8.3f}{line.gap_fitted:8.3f}"
            f"{line.error_held_out:17.3f}{line.gap_held_out:8.3f}"
        )
    return 0


def _attack(options: argparse.Namespace) -> int:
    """Attack a model; exit 0 only when every attack asked for ran."""
    from unlearning.attacking import attack

    reports = attack(options)
    if options.json:
        print(as_json(reports))
    else:
        _table(reports)
    return NOT_ALL_RAN if any("not_run" in report for report in reports) else 0


def _unlearn(options: argparse.Namespace) -> int:
    """Unlearn, attack before and after, judge with the reference thresholds; exit 0 only for PASS."""
    from unlearning import models
    from unlearning.attacking import usable_device
    from unlearning.attacks import ATTACKS
    from unlearning.methods import METHODS
    from unlearning.trial import assess, prepare
    from unlearning.verdict import REFERENCE_BOUNDS, judge

    if options.method not in METHODS:
        raise RequestRejected(
            Code.METHOD_UNKNOWN,
            place="--method",
            remedy=f"no such method; known are {', '.join(METHODS)}.",
        )
    if options.out.exists():
        raise RequestRejected(
            Code.EXAMPLES_INVALID,
            place="--out",
            remedy="the folder exists; models are never overwritten, name a new one.",
        )
    method = METHODS[options.method](**_knobs(METHODS[options.method], options.set))
    members, others = read_examples(options.examples), read_examples(options.neighbours)
    _require_one_person(members)
    model = models.load(options.model, usable_device(options.device))
    digest = models.digest(options.model)[0]
    people: tuple[Passage, ...] = tuple(p for p in others if p.person)
    trial = prepare(model, members, people, [p for p in others if not p.person], seed=options.seed)
    attacks = {name: kind() for name, kind in ATTACKS.items()}
    before = assess(model, digest, trial, attacks, _say("before"))
    unlearned = method.unlearn(model, trial.corpus)
    made = unlearned.save(options.out)
    after = assess(unlearned.model, models.digest(made)[0], trial, attacks, _say("after"))
    verdict = judge(
        before,
        after,
        REFERENCE_BOUNDS,
        required=attacks,
        suppressed=unlearned.trace.deletion is Deletion.SUPPRESSION,
    )
    if options.json:
        report: dict[str, Any] = {
            "before": before,
            "after": after,
            "trace": unlearned.trace,
            "verdict": verdict,
        }
        print(as_json(report))
    else:
        _table(plain(after.attacks))
        width = max(len(check.name) for check in verdict.checks)
        for check in verdict.checks:
            print(
                f"{check.outcome.value:<13} {check.name:<{width}} {check.measured:8.3f}  bound {check.bound:.3f}"
            )
        print(f"verdict: {verdict.outcome.value}   model: {made}")
    return 0 if verdict.outcome.value == "PASS" else 1


def _require_one_person(members: Sequence[Passage]) -> None:
    """A verdict is on one person: of many forgotten, one who is not would drown."""
    if len({p.person for p in members if p.person}) > 1:
        raise RequestRejected(
            Code.EXAMPLES_INVALID,
            place="--examples, person",
            remedy="several people are named, and a verdict is on one person; give each a file of their own.",
        )


def _knobs(kind: type[Any], given: Sequence[str]) -> Mapping[str, object]:
    """KNOB=VALUE pairs as the constructor's types, taken from the defaults."""
    defaults: dict[str, Any] = {f.name: f.default for f in dataclasses.fields(kind)}
    knobs: dict[str, object] = {}
    for pair in given:
        name, _, value = pair.partition("=")
        if name not in defaults:
            raise RequestRejected(
                Code.METHOD_UNKNOWN,
                place="--set",
                remedy=f"no such knob; known are {', '.join(defaults)}.",
            )
        default = defaults[name]
        try:
            knobs[name] = _read(value, default)
        except (ValueError, KeyError):
            raise RequestRejected(
                Code.METHOD_UNKNOWN,
                place=f"--set {name}",
                remedy="the value is not a number; write one, or true or false where the knob is one of these.",
            ) from None
    return knobs


def _read(value: str, default: Any) -> object:
    if isinstance(default, bool):
        return {"true": True, "false": False}[value.casefold()]
    if isinstance(default, tuple):  # numbers with commas between; an empty one is of blocks
        return tuple(map(type(default[0]) if default else int, value.split(",")))
    return type(default)(value)


def _steps() -> Callable[[int, int], None]:
    """On stderr, now and then, which step a training is at."""
    said = time.monotonic()

    def watch(done: int, steps: int) -> None:
        nonlocal said
        if time.monotonic() - said >= SAID_EVERY:
            said = time.monotonic()
            print(f"training: step {done} of {steps}", file=sys.stderr, flush=True)

    return watch


def _say(when: str) -> Any:
    return lambda done, total: print(f"attacking {when}: {done} of {total}", file=sys.stderr)


def _table(reports: Sequence[Mapping[str, Any]]) -> None:
    print(f"{'metric':<32}{'person':>14}{'never seen':>14}{'AUC':>8}")
    for report in reports:
        print(report["attack"])
        for score in report["scores"]:
            area = _shown(score["contrast"]) if score["contrast"] else ""
            print(
                f"  {score['metric']:<30}{_shown(score['members']):>14}{_shown(score['controls']):>14}{area:>8}"
            )
        if "not_run" in report:
            print(f"  not run: {report['not_run']['sentence']}")


def _shown(estimate: Mapping[str, Any]) -> str:
    if estimate["hits"] is not None:
        return f"{estimate['hits']} of {estimate['trials']}"
    return "not a number" if estimate["value"] is None else f"{estimate['value']:.3f}"


if __name__ == "__main__":
    sys.exit(main())
