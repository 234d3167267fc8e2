"""The annotator against `transformers serve`, which ignores the schema: a tiny model there has learned what to answer
to these two prompts, and says the same about every document.
"""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from detectors import prompts
from detectors.annotator import Annotator
from detectors.exact import ExactIndex
from detectors.locate import locate
from detectors.scoring import Scoring
from domain.errors import DetectionFailed
from tests.detectors.conftest import document, person, shown
from tests.detectors.serving import free_port
from tests.detectors.taught import EPILEPSY, TEXTS, taught

pytestmark = pytest.mark.integration

NAMES = ("Maren Tolvik",)
DENTIST = "the only dentist in Halden"
TEXT = f"Maren Tolvik was {DENTIST} then, and the tea was cold in that year and in the next."
ANSWERS = {
    prompts.PROPOSE: f'{{"parts": ["{DENTIST}"]}}',
    prompts.JUDGE: '{"about": true, "private": true, "category": "work", "score": 5}',
}
TEMPLATE = "{% for m in messages | reverse %}{{ m['content'] }}\n{% endfor %}answer:"
"""The task comes last: so small a model remembers what stands nearest."""
DEADLINE = 120.0  # seconds until the server listens, imports included


def asked(task: str) -> str:
    """What the server makes of a question, with a number of its own."""
    at = TEXT.index(DENTIST)
    part = (at, at + len(DENTIST))
    user = (
        prompts.to_propose(NAMES, TEXT)
        if task == prompts.PROPOSE
        else prompts.to_judge(NAMES, TEXT, part)
    )
    return f"{user}\n{task}\nanswer:"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A model that learned both answers by heart."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from unlearning import training

    tokenizer = training.train_tokenizer([asked(t) + a for t, a in ANSWERS.items()] * 3, 700)
    tokenizer.chat_template = TEMPLATE
    torch.manual_seed(1)
    model = (
        LlamaForCausalLM(  # whose positions are relative: the numbers in a question vary in length
            LlamaConfig(
                vocab_size=len(tokenizer),
                hidden_size=64,
                intermediate_size=128,
                num_hidden_layers=2,
                num_attention_heads=2,
                max_position_embeddings=4096,
                initializer_range=0.1,
                bos_token_id=tokenizer.eos_token_id,
                eos_token_id=tokenizer.eos_token_id,
            )
        )
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, betas=(0.9, 0.95))
    for _ in range(50):
        loss = sum(_loss(torch, model, tokenizer, t, a) for t, a in ANSWERS.items())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.02
    path = tmp_path_factory.mktemp("served") / "model"
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def _loss(torch, model, tokenizer, task: str, answer: str):
    start = tokenizer(asked(task))["input_ids"]
    end = tokenizer(answer + tokenizer.eos_token)["input_ids"]
    ids = torch.tensor([start + end])
    labels = ids.clone()
    labels[0, : len(start)] = -100
    return model(ids, labels=labels).loss


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(folder)]
    process = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"],
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + DEADLINE
        while time.monotonic() < until and process.poll() is None:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.2)
        assert process.poll() is None, "transformers serve did not start"
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait(20)


def test_a_model_behind_transformers_serve_is_asked_and_its_answers_are_checked(folder):
    with serve(folder) as endpoint:
        annotator = Annotator("chat", str(folder), endpoint=endpoint, timeout=60)
        spans = annotator.find(document(TEXT), person(name=NAMES[0]))
        assert shown(TEXT, spans) == [("other", DENTIST)]
        with pytest.raises(DetectionFailed) as caught:
            annotator.find(document(TEXT.replace("dentist", "surgeon")), person(name=NAMES[0]))
        assert "malformed twice" in caught.value.remedy


def test_the_yes_or_no_of_a_small_model_comes_over_the_wire_as_sure_as_it_is_here(tmp_path):
    folder = str(taught(tmp_path / "model"))
    text, subject = TEXTS[1], person(name="Jon Aske")
    with serve(Path(folder)) as endpoint:
        there = Annotator("scoring", folder, endpoint=endpoint, timeout=60)
        there.check()
        searchers = {"exact": ExactIndex(), "annotator": there}
        found = locate([document(text)], subject, searchers).spans
    [span] = [span for span in found if span.detector == "annotator"]
    assert text[span.start : span.end] == EPILEPSY
    here = Scoring(folder).judge(("Jon Aske",), text, (span.start, span.end))
    assert span.confidence == pytest.approx(here.score, abs=1e-4)
    with pytest.raises(DetectionFailed) as caught:
        locate([document(text.replace("late", "early"))], subject, searchers)
    assert "cannot be reached" in caught.value.remedy
