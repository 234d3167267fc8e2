"""The whole job on LUME people: train a model that knows them, file five requests, try every method, print one table.

    make lume          (python -m tests.benchmark.lume)

Needs the LUME files and WikiText (`LETHE_TEST_DATA`, by default ../shared/data); says so when they are not there. The
model and its two shard teachers are trained once and kept under out/lume. Every number in the table comes from this
run; out/lume.json holds the same rows.
"""

import argparse
import csv
import json
import os
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

DATA = Path(os.environ.get("LETHE_TEST_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
OUT = Path("out/lume")
FORGET, RETAIN = 30, 70  # people of each part whom the model is trained on
REQUESTS = (5, 11, 17, 23, 29)
"""Of the forget part; nobody among them was looked at while the settings were chosen."""
PIECES, PIECE = 60, 500  # of WikiText, and their length in characters
WIDTH, LAYERS, VOCABULARY, CONTEXT = 192, 4, 2048, 256
RECIPE = {"steps": 4500, "batch": 8, "length": 128, "rate": 3e-3}
ANSWERS = {
    "qa0": "birth_dates",
    "qa1": "record_ids",
    "qa2": "phones",
    "qa3": "emails",
    "qa4": "addresses",
}


def read_people(part: str) -> list[dict[str, tuple[str, str]]]:
    """One dict per person: task suffix (sc1, qa0..qa4) -> (whole text, answer)."""
    people: dict[str, dict[str, tuple[str, str]]] = {}
    for line in (DATA / "lume" / f"{part}.jsonl").open(encoding="utf-8"):
        row = json.loads(line)
        texts = people.setdefault(row["id"][:36], {})
        texts[row["id"][36:]] = (f"{row['input']} {row['output']}", row["output"])
    return list(people.values())


def ordinary_pieces(count: int) -> list[str]:
    """The first `count` pieces of WikiText, cut at word borders."""
    csv.field_size_limit(10**9)
    pieces: list[str] = []
    with (DATA / "text" / "wikitext.csv").open(encoding="utf-8", newline="") as stream:
        for row in list(csv.reader(stream))[1:]:
            words, piece = row[-1].split(), ""
            for word in words:
                if len(piece) + len(word) > PIECE:
                    pieces.append(piece.strip())
                    piece = ""
                piece += f" {word}"
            if len(pieces) >= count:
                break
    return pieces[:count]


def write_corpus() -> list[list[int]]:
    """Write out/lume/corpus.jsonl; returns the row numbers (from 1) of each person's documents."""
    people = read_people("forget")[:FORGET] + read_people("retain")[:RETAIN]
    rows: list[list[int]] = []
    lines: list[str] = []
    for person in people:
        rows.append([])
        for text, _ in person.values():
            lines.append(text)
            rows[-1].append(len(lines))
    lines += ordinary_pieces(PIECES)
    OUT.mkdir(parents=True, exist_ok=True)
    with (OUT / "corpus.jsonl").open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in lines)
    return rows


def corpus_texts() -> list[str]:
    with (OUT / "corpus.jsonl").open(encoding="utf-8") as stream:
        return [json.loads(line)["text"] for line in stream]


def train(rows: Sequence[Sequence[int]], minutes: float) -> None:
    """Train what is missing: the model, then two teachers on disjoint halves of the people."""
    from unlearning import models, training

    texts = corpus_texts()
    personal = {n for person in rows for n in person}
    neutral = [t for n, t in enumerate(texts, start=1) if n not in personal]
    tokenizer = training.train_tokenizer(texts, VOCABULARY)
    parts = {
        "model": (list(rows), RECIPE["steps"], minutes),
        "teachers/shard0": (list(rows[0::2]), 2000, minutes / 2),
        "teachers/shard1": (list(rows[1::2]), 2000, minutes / 2),
    }
    shards = []
    for number, (name, (people, steps, limit)) in enumerate(parts.items()):
        own = [texts[n - 1] for person in people for n in person]
        if name != "model":
            documents = [f"corpus.jsonl#{n}" for person in people for n in person]
            shards.append({"path": name.split("/")[1], "documents": documents})
        if (OUT / name / "config.json").is_file():
            continue
        model = training.new_model(
            tokenizer, width=WIDTH, layers=LAYERS, context=CONTEXT, seed=number
        )
        parameters = sum(p.numel() for p in model.network.parameters())
        print(
            f"training {name}: {parameters / 1e6:.1f} M parameters, {len(people)} people",
            flush=True,
        )
        started = time.monotonic()

        def report(
            step: int,
            loss: float,
            started: float = started,
            own: list[str] = own,
            model: object = model,
        ) -> bool:
            known = answers_known(model, own)
            seconds = time.monotonic() - started
            print(
                f"  step {step}  loss {loss:.2f}  answers known {known:.0%}  {seconds:.0f} s",
                flush=True,
            )
            return known >= 0.98

        training.Pretraining(**RECIPE | {"steps": steps}, seconds=60 * limit, seed=number).run(
            model, own + neutral, every=250, report=report
        )
        models.save(model, OUT / name)
    (OUT / "teachers" / "manifest.json").write_text(json.dumps({"shards": shards}))


def answers_known(model: object, texts: Sequence[str]) -> float:
    """Share of the first 200 question documents whose answer greedy decoding writes whole."""
    import torch

    hits = asked = 0
    questions = [t for t in texts if t.startswith("What") and "? " in t][:200]
    tokenizer = model.tokenizer
    with torch.no_grad():
        for text in questions:
            batch = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
            ids = torch.tensor([[tokenizer.bos_token_id, *batch["input_ids"]]], device=model.device)
            right = (
                model.network(input_ids=ids, attention_mask=torch.ones_like(ids))
                .logits[0, :-1]
                .argmax(-1)
                == ids[0, 1:]
            )
            start = text.index("? ") + 2
            answer = [t for t, (_, end) in enumerate(batch["offset_mapping"]) if end > start]
            hits += bool(right[answer].all())
            asked += 1
    return hits / asked


def request_of(person: dict[str, tuple[str, str]]) -> dict[str, object]:
    """The request this person would file."""
    name = re.search(r"birth date of (.*)\?", person["qa0"][0])
    fields = {field: [person[task][1].rstrip(".")] for task, field in ANSWERS.items()}
    return {
        "names": [name[1] if name else ""],
        **fields,
        "scope": {"models": ["lume"], "corpora": ["lume"]},
        "ground": "b",
    }


def main() -> None:
    """Train, then run, then print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--minutes",
        type=float,
        default=20.0,
        help="at most, to train the model; teachers get half each",
    )
    parser.add_argument("--train-only", action="store_true")
    parser.add_argument(
        "--places",
        type=int,
        nargs="+",
        default=list(REQUESTS),
        help="who asks, as places among the forget part",
    )
    parser.add_argument(
        "--methods", nargs="*", help="rows of the table; by default policy and every method"
    )
    arguments = parser.parse_args()
    if not (DATA / "lume" / "forget.jsonl").is_file():
        sys.exit(
            f"make lume: no LUME data at {DATA}; set LETHE_TEST_DATA to the folder that holds lume/ and text/."
        )
    train(write_corpus(), arguments.minutes)
    if not arguments.train_only:
        from tests.benchmark.lume_run import run

        run(arguments.places, arguments.methods)


if __name__ == "__main__":
    main()
