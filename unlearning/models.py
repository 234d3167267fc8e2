"""A language model on disk and in memory: any Hugging Face causal or masked directory, safetensors only."""

import copy
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging

from domain.errors import Code, RequestRejected, Unavailable
from domain.outcomes import FileDigest

logging.disable_progress_bar()  # reading and writing a model is one step of ours, not a bar of its own

UNREADABLE = (
    OSError,
    ValueError,
    LookupError,
    RuntimeError,
    TypeError,
    AttributeError,
    SafetensorError,
)
"""What transformers raises for damaged files."""
PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")


@dataclass(frozen=True)
class LanguageModel:
    """A network with its tokenizer. `masked` tells BERT-like models from those that predict the next token."""

    network: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    masked: bool

    @property
    def device(self) -> torch.device:
        device: torch.device = self.network.device
        return device

    @property
    def context(self) -> int:
        """The longest sequence it takes, in tokens."""
        config = self.network.config.get_text_config()
        return int(getattr(config, "max_position_embeddings", 0) or 1024)

    def autocast(self) -> torch.autocast:
        """bf16 on CUDA, where it pays; full precision elsewhere."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda")

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Dropout off inside; every module's mode as it was afterwards."""
        training = [module for module in self.network.modules() if module.training]
        self.network.eval()
        try:
            yield
        finally:
            for module in training:
                module.training = True


def copy_of(model: LanguageModel) -> LanguageModel:
    """A copy whose weights may be changed; the given model stays as it is."""
    return replace(model, network=copy.deepcopy(model.network))


def tokens_per_batch(model: LanguageModel) -> int:
    """So many tokens that the logits of a batch stay under 256 MB (2 GB on CUDA)."""
    bytes_allowed = 2**31 if model.device.type == "cuda" else 2**28
    vocabulary = int(model.network.config.get_text_config().vocab_size)
    return max(256, min(16384, bytes_allowed // (4 * vocabulary)))


def best_device() -> str:
    """CUDA where there is one, else the CPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def load(path: Path, device: str = "") -> LanguageModel:
    """Read a model directory into memory, in fp32, dropout off.

    Raises `RequestRejected` when the directory cannot be read as a model, holds its weights as pickles (they run code
    when loaded), holds NaN or infinity, or has no fast tokenizer that fits.
    """
    place = f"model directory {path.name}"
    if not (path / "config.json").is_file():
        raise RequestRejected(
            Code.MODEL_UNREADABLE,
            place=place,
            remedy="there is no config.json; name a Hugging Face model directory.",
        )
    if not list(path.glob("*.safetensors")):
        pickled = any(list(path.glob(pattern)) for pattern in PICKLES)
        raise RequestRejected(
            Code.MODEL_PICKLE if pickled else Code.MODEL_UNREADABLE,
            place=place,
            remedy="the weights are pickles, which run code when loaded; convert them with "
            "save_pretrained(safe_serialization=True)."
            if pickled
            else "there is no *.safetensors file; save the model with save_pretrained.",
        )
    try:
        config = AutoConfig.from_pretrained(path, local_files_only=True, trust_remote_code=False)
        name = (config.architectures or [""])[0]
        masked = name.endswith("ForMaskedLM")
        if not masked and not name.endswith(("LMHeadModel", "ForCausalLM")):
            raise RequestRejected(
                Code.MODEL_UNSUPPORTED,
                place=f"{place}, config.json, architectures",
                remedy="only causal and masked language models are supported.",
            )
        kind = AutoModelForMaskedLM if masked else AutoModelForCausalLM
        network, loading = kind.from_pretrained(
            path,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32,
            output_loading_info=True,
        )
        tokenizer = AutoTokenizer.from_pretrained(
            path, local_files_only=True, trust_remote_code=False
        )
    except UNREADABLE:
        raise RequestRejected(
            Code.MODEL_UNREADABLE,
            place=place,
            remedy="the files do not load as a transformers model; check that the copy is whole.",
        ) from None
    if loading["missing_keys"] or loading["mismatched_keys"]:
        raise RequestRejected(
            Code.MODEL_UNREADABLE,
            place=place,
            remedy="weights are missing, and would be made up at random; check that the copy is whole.",
        )
    _refuse_unfit(network, tokenizer, place, masked=masked)
    return LanguageModel(network.to(device or best_device()).eval(), tokenizer, masked)


def _refuse_unfit(network: PreTrainedModel, tokenizer: object, place: str, *, masked: bool) -> None:
    if not all(bool(torch.isfinite(p).all()) for p in network.parameters()):
        raise RequestRejected(
            Code.MODEL_NOT_FINITE,
            place=place,
            remedy="the weights hold NaN or infinity; restore the model from a good copy.",
        )
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise RequestRejected(
            Code.MODEL_UNSUPPORTED,
            place=place,
            remedy="a fast tokenizer (tokenizer.json) is needed to map spans to tokens.",
        )
    if len(tokenizer) > network.get_input_embeddings().num_embeddings:
        raise RequestRejected(
            Code.MODEL_UNSUPPORTED,
            place=place,
            remedy="the tokenizer has more tokens than the model has embeddings; they do not belong together.",
        )
    needed = (
        [tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.mask_token_id]
        if masked
        else [tokenizer.eos_token_id]
    )
    if None in needed:
        raise RequestRejected(
            Code.MODEL_UNSUPPORTED,
            place=f"{place}, tokenizer_config.json",
            remedy="a masked model needs the tokens cls, sep and mask, a causal one an end token; name them there.",
        )


def save(model: LanguageModel, path: Path) -> tuple[FileDigest, ...]:
    """Write the model beside whatever is there, never over it, and return the digests of its files.

    The files appear under `path` all at once. Raises `Unavailable` when the disk is full; nothing is left then.
    """
    if path.exists():
        raise FileExistsError(f"{path.name} exists; models are never overwritten")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        model.network.save_pretrained(partial)
        model.tokenizer.save_pretrained(partial)
        os.chmod(partial, 0o755)  # noqa: S103, PTH101  mkdtemp makes 0700; the model is read by servers
        partial.rename(path)
    except Exception as error:
        if isinstance(error, OSError) or "I/O error" in str(error) or "os error" in str(error):
            raise Unavailable(
                Code.DISK,
                place=f"model directory {path.name}",
                remedy="it could not be written; free disk space and run again.",
            ) from None
        raise
    finally:  # renamed away when all went well
        shutil.rmtree(partial, ignore_errors=True)
    return digest(path)[1]


def digest(path: Path) -> tuple[str, tuple[FileDigest, ...]]:
    """The model's id: SHA-256 of its manifest, lines `sha256 size path` sorted bytewise; and the files themselves."""
    files = tuple(file_digest(p, path) for p in sorted(path.rglob("*")) if p.is_file())
    if not files:
        raise RequestRejected(
            Code.MODEL_UNREADABLE,
            place=f"model directory {path.name}",
            remedy="it holds no files; name a Hugging Face model directory.",
        )
    return manifest_sha256(files), files


def file_digest(path: Path, root: Path) -> FileDigest:
    """Size and SHA-256 of one file, its path relative to `root`."""
    with path.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    return FileDigest(path.relative_to(root).as_posix(), path.stat().st_size, sha256)


def manifest_sha256(files: Iterable[FileDigest]) -> str:
    """SHA-256 of the manifest lines, sorted bytewise, so that names and sizes are bound as well as contents."""
    lines = sorted(f"{f.sha256} {f.size} {f.path}\n".encode() for f in files)
    return hashlib.sha256(b"".join(lines)).hexdigest()
