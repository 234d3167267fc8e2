"""What may not be loaded is refused with one sentence; what is saved is whole, or not there at all."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import RobertaConfig, RobertaForMaskedLM

from domain.errors import Code, RequestRejected
from tests.unlearning.conftest import tiny_model
from unlearning import models
from unlearning.models import Kind, LanguageModel


@pytest.fixture(scope="session")
def good(untrained: LanguageModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good") / "model"
    models.save(tiny_model("gpt2", untrained), folder)
    return folder


def edit_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return dict(load_file(folder / "model.safetensors"))


def pickled(folder: Path) -> None:
    torch.save(weights(folder), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def poisoned(value: float) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        changed = weights(folder)
        changed["transformer.ln_f.weight"][3] = value
        save_file(changed, folder / "model.safetensors", metadata={"format": "pt"})

    return spoil


def without_a_layer(folder: Path) -> None:
    changed = {k: v for k, v in weights(folder).items() if ".h.1." not in k}
    save_file(changed, folder / "model.safetensors", metadata={"format": "pt"})


def truncated(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def larger_tokenizer(folder: Path) -> None:
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    tokenizer["added_tokens"].append(
        {
            "id": 420,
            "content": "<extra>",
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
    )
    path.write_text(json.dumps(tokenizer))


BROKEN: dict[str, tuple[Callable[[Path], object], Code]] = {
    "pickle": (pickled, Code.MODEL_PICKLE),
    "nan": (poisoned(float("nan")), Code.MODEL_NOT_FINITE),
    "infinity": (poisoned(float("inf")), Code.MODEL_NOT_FINITE),
    "no_config": (lambda f: (f / "config.json").unlink(), Code.MODEL_UNREADABLE),
    "config_no_json": (lambda f: (f / "config.json").write_text("{"), Code.MODEL_UNREADABLE),
    "config_a_list": (lambda f: (f / "config.json").write_text("[]"), Code.MODEL_UNREADABLE),
    "no_weights": (lambda f: (f / "model.safetensors").unlink(), Code.MODEL_UNREADABLE),
    "weights_no_safetensors": (
        lambda f: (f / "model.safetensors").write_bytes(b"x" * 64),
        Code.MODEL_UNREADABLE,
    ),
    "truncated": (truncated, Code.MODEL_UNREADABLE),
    "missing_layer": (without_a_layer, Code.MODEL_UNREADABLE),
    "other_width": (lambda f: edit_config(f, n_embd=64), Code.MODEL_UNREADABLE),
    "unknown_kind": (lambda f: edit_config(f, model_type="nobody"), Code.MODEL_UNREADABLE),
    "seq2seq": (
        lambda f: edit_config(f, architectures=["T5ForConditionalGeneration"]),
        Code.MODEL_UNSUPPORTED,
    ),
    "no_architecture": (lambda f: edit_config(f, architectures=None), Code.MODEL_UNSUPPORTED),
    "larger_tokenizer": (larger_tokenizer, Code.MODEL_UNSUPPORTED),
    "tokenizer_no_json": (
        lambda f: (f / "tokenizer.json").write_text("{"),
        Code.MODEL_UNREADABLE,
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_model_that_cannot_be_trusted_is_refused_in_one_sentence(
    case: str, good: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "assistant"
    shutil.copytree(good, folder)
    spoil, code = BROKEN[case]
    spoil(folder)
    with pytest.raises(RequestRejected) as refused:
        models.load(folder, "cpu")
    assert refused.value.code is code
    assert "assistant" in refused.value.sentence
    assert "\n" not in refused.value.sentence
    assert refused.value.sentence.endswith(".")
    assert str(tmp_path) not in refused.value.sentence
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


@pytest.mark.parametrize("kind", ["gpt2", "llama", "neox", "bert"])
def test_a_saved_model_loads_with_the_same_weights(
    kind: str, untrained: LanguageModel, tmp_path: Path
) -> None:
    model = tiny_model(kind, untrained)
    files = models.save(model, tmp_path / "m")
    again = models.load(tmp_path / "m", "cpu")
    assert again.masked == model.masked
    assert not again.network.training
    ours, theirs = model.network.state_dict(), again.network.state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert models.digest(tmp_path / "m")[1] == files
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_saving_never_overwrites(small: LanguageModel, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "kept").write_text("kept")
    with pytest.raises(FileExistsError):
        models.save(small, tmp_path / "m")
    assert [p.name for p in (tmp_path / "m").iterdir()] == ["kept"]


def test_a_full_disk_while_saving_leaves_nothing(good: Path, tmp_path: Path) -> None:
    """Full at once, within the configuration, within the weights, and just before the end of the largest file."""
    largest = max(p.stat().st_size for p in good.iterdir())
    program = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from domain.errors import Unavailable\n"
        "from unlearning import models\n"
        f"model, out = models.load(Path({str(good)!r}), 'cpu'), Path({str(tmp_path / 'out')!r})\n"
        f"for limit in (0, 600, 20000, {largest - 1}):\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))\n"
        "    try:\n"
        "        models.save(model, out / 'm')\n"
        "        sys.exit(41)\n"
        "    except Unavailable as error:\n"
        "        if error.code != 'disk' or list(out.iterdir()):\n"
        "            sys.exit(42)\n"
        "sys.exit(40)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True)
    assert done.returncode == 40, done.stderr.decode()
    assert list((tmp_path / "out").iterdir()) == []


def test_the_digest_binds_names_sizes_and_contents(tmp_path: Path) -> None:
    digests = set()
    for name, content in [("a", "x"), ("b", "x"), ("a", "y"), ("a/c", "x")]:
        folder = tmp_path / str(len(digests))
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(content)
        digests.add(models.digest(folder)[0])
    assert len(digests) == 4
    same = tmp_path / "same"
    same.mkdir()
    (same / "a").write_text("x")
    assert models.digest(same)[0] == models.digest(tmp_path / "0")[0]


def test_a_folder_without_files_has_no_digest(tmp_path: Path) -> None:
    with pytest.raises(RequestRejected) as refused:
        models.digest(tmp_path)
    assert refused.value.code is Code.MODEL_UNREADABLE


def test_evaluating_gives_every_module_its_mode_back(small: LanguageModel) -> None:
    small.network.train()
    small.network.transformer.h[0].eval()
    modes = [m.training for m in small.network.modules()]
    with small.evaluating():
        assert not any(m.training for m in small.network.modules())
    assert [m.training for m in small.network.modules()] == modes


def test_the_places_of_roberta_begin_behind_the_paddings(untrained: LanguageModel) -> None:
    """Of 66 rows in its table of places 64 are used: one more token has no place, and the network raises."""
    tokenizer = tiny_model("bert", untrained).tokenizer
    config = RobertaConfig(
        vocab_size=len(tokenizer),
        pad_token_id=1,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=1,
        max_position_embeddings=66,
    )
    with torch.random.fork_rng():
        model = LanguageModel(RobertaForMaskedLM(config).eval(), tokenizer, Kind.MASKED)
    assert model.context == 64
    full = torch.full((1, model.context), 7)
    assert model.network(input_ids=full).logits.shape[1] == 64
    with pytest.raises((IndexError, RuntimeError)):
        model.network(input_ids=torch.full((1, model.context + 1), 7))
