"""Train the embedded name finder: a small spaCy pipeline that learns from generated sentences alone.

    make ner          (python -m detectors.ner)

Writes `detectors/names/`, which is part of the package, so that nobody else has to train it.
"""

import argparse
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "names"
_WIDTH, _DEPTH, _ROWS, _HIDDEN = 64, 4, 1500, 48
_CONFIG = {
    "nlp": {"lang": "en", "pipeline": ["ner"]},
    "components": {
        "ner": {
            "factory": "ner",
            "model": {
                "@architectures": "spacy.TransitionBasedParser.v2",
                "state_type": "ner",
                "extra_state_tokens": False,
                "hidden_width": _HIDDEN,
                "maxout_pieces": 2,
                "use_upper": True,
                "tok2vec": {
                    "@architectures": "spacy.Tok2Vec.v2",
                    "embed": {
                        "@architectures": "spacy.MultiHashEmbed.v2",
                        "width": _WIDTH,
                        "attrs": ["NORM", "PREFIX", "SUFFIX", "SHAPE"],
                        "rows": [_ROWS, _ROWS // 2, _ROWS, _ROWS // 2],
                        "include_static_vectors": False,
                    },
                    "encode": {
                        "@architectures": "spacy.MaxoutWindowEncoder.v2",
                        "width": _WIDTH,
                        "depth": _DEPTH,
                        "window_size": 1,
                        "maxout_pieces": 3,
                    },
                },
            },
        }
    },
}


def train(folder: Path, texts: int, rounds: int, seed: int) -> dict[str, float]:
    """Train on `texts` generated texts and write the pipeline; returns its scores on other ones."""
    import spacy
    from spacy.util import compounding, fix_random_seed, load_model_from_config, minibatch

    from detectors.nertext import Writer

    fix_random_seed(seed)
    spacy.require_cpu()
    nlp = load_model_from_config(_CONFIG, auto_fill=True)
    examples = _examples(nlp, Writer(seed), texts)
    held_out = _examples(nlp, Writer(seed + 1000), 500)
    nlp.initialize(lambda: examples[:200])
    optimizer = nlp.resume_training()
    optimizer.learn_rate = 0.001
    chance = random.Random(seed)
    for number in range(rounds):
        started = time.monotonic()
        loss: dict[str, float] = {}
        optimizer.learn_rate = 0.001 * (1 - 0.9 * number / rounds)
        chance.shuffle(examples)
        for batch in minibatch(examples, size=compounding(16.0, 64.0, 1.001)):
            nlp.update(batch, sgd=optimizer, drop=0.2, losses=loss)
        scores = _scores(nlp, held_out)
        seconds = time.monotonic() - started
        print(
            f"round {number + 1} of {rounds}  loss {loss['ner']:.0f}  held out: precision "
            f"{scores['precision']:.3f} recall {scores['recall']:.3f}  {seconds:.0f} s",
            flush=True,
        )
        nlp.to_disk(folder, exclude=["vocab"])  # its strings are those it was trained on
    return scores


def _examples(nlp: Any, writer: Any, count: int) -> list[Any]:
    from spacy.training import Example

    made = []
    for _ in range(count):
        text, marks = writer.text()
        doc = nlp.make_doc(text)
        spans = [doc.char_span(a, b, label="PERSON", alignment_mode="expand") for a, b in marks]
        gold = nlp.make_doc(text)
        gold.ents = _disjoint([gold[s.start : s.end] for s in spans if s is not None])
        made.append(Example(doc, gold))
    return made


def _disjoint(spans: Sequence[Any]) -> list[Any]:
    from spacy.tokens import Span
    from spacy.util import filter_spans

    found: list[Any] = filter_spans([Span(s.doc, s.start, s.end, label="PERSON") for s in spans])
    return found


def _scores(nlp: Any, examples: Sequence[Any]) -> dict[str, float]:
    found = nlp.evaluate(examples)
    return {"precision": found["ents_p"], "recall": found["ents_r"]}


def main() -> int:
    """Train and write; 1 when what came out does not find names in sentences of its own kind."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--texts", type=int, default=26_000)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    scores = train(arguments.out, arguments.texts, arguments.rounds, arguments.seed)
    size = sum(file.stat().st_size for file in arguments.out.rglob("*") if file.is_file())
    print(f"written to {arguments.out}: {size / 1e6:.1f} MB")
    return 0 if scores["recall"] > 0.8 else 1


if __name__ == "__main__":
    sys.exit(main())
