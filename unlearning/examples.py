"""Read passages with spans from JSON lines: what a bare GPU machine is given instead of a corpus."""

import json
from pathlib import Path

from domain.errors import Code, RequestRejected
from domain.records import Owner, Passage, SensitiveSpan, SpanKind, merge_spans
from domain.secrecy import Secret


def read_examples(path: Path) -> tuple[Passage, ...]:
    """Passages of a file. Raises `RequestRejected` with the file and line of whatever is wrong."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # U+2028 may stand inside a line
    except (OSError, UnicodeDecodeError):
        raise RequestRejected(
            Code.EXAMPLES_INVALID,
            place=path.name,
            remedy="it cannot be read as UTF-8 text; name a JSON lines file.",
        ) from None
    found = tuple(
        _passage(line, f"{path.name}#{n}") for n, line in enumerate(lines, start=1) if line.strip()
    )
    if not found:
        raise RequestRejected(
            Code.EXAMPLES_INVALID,
            place=path.name,
            remedy="it holds no examples; write one JSON object per line.",
        )
    return found


def _passage(line: str, ref: str) -> Passage:
    try:
        row = json.loads(line)
        text, spans = row["text"], row.get("spans", [])
        answer, label = row.get("answer"), row.get("label")
        made = tuple(
            merge_spans(
                SensitiveSpan(
                    ref, s["start"], s["end"], SpanKind(s["kind"]), Owner.SUBJECT, "given", 1.0
                )
                for s in spans
            )
        )
        places = [place for s in made for place in (s.start, s.end)]
        given = [number for number in (answer, label) if number is not None]
        whole = all(type(number) is int and number >= 0 for number in (*places, *given))
        last = max([*places, -1 if answer is None else answer + 1], default=0)
        if not isinstance(text, str) or not whole or last > len(text):
            raise ValueError("span outside the text")  # noqa: TRY301  joins the other faults of a line
        own = str(row.get("person", "person" if made else "")) if made or label is not None else ""
        return Passage(ref, Secret(text), made, own, answer, label)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise RequestRejected(
            Code.EXAMPLES_INVALID,
            place=ref,
            remedy='the line must be {"text": ..., "spans": [{"start", "end", "kind"}], "person": ..., "answer": ..., '
            '"label": ...} with spans and the place of the answer inside the text; all but the text may be missing.',
        ) from None
