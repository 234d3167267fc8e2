"""A language model on disk and in memory: a Hugging Face directory of one of four kinds, safetensors only."""

import copy
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PretrainedConfig,
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


class Kind(StrEnum):
    """What a model does with text: says what comes next, fills what is hidden, answers it, or puts it in a class."""

    CAUSAL = "causal"
    MASKED = "masked"
    SEQ2SEQ = "seq2seq"
    CLASSIFIER = "classifier"


@dataclass(frozen=True)
class LanguageModel:
    """A network with its tokenizer, and what kind it is of."""

    network: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    kind: Kind

    @property
    def masked(self) -> bool:
        """Whether it fills what is hidden, as BERT does."""
        return self.kind is Kind.MASKED

    @property
    def choices(self) -> int:
        """How many answers a position has: the words of the vocabulary, or the classes."""
        if self.kind is Kind.CLASSIFIER:
            return int(self.network.config.num_labels)
        return int(self.network.config.get_text_config().vocab_size)

    @property
    def starts(self) -> int | None:
        """The token with which the decoder of a seq2seq model begins; None where the model names none."""
        for config in (self.network.config, getattr(self.network, "generation_config", None)):
            if (token := getattr(config, "decoder_start_token_id", None)) is not None:
                return int(token)
        return None

    @property
    def device(self) -> torch.device:
        device: torch.device = self.network.device
        return device

    @property
    def context(self) -> int:
        """The longest sequence it takes, in tokens."""
        config = self.network.config.get_text_config()
        named = (getattr(config, name, 0) for name in ("max_position_embeddings", "n_positions"))
        return int(next(filter(None, named), 1024)) - self._unused_places

    @property
    def _unused_places(self) -> int:
        """Rows of the table of places that no token uses: those of RoBERTa and its kin begin behind the padding's."""
        table = getattr(
            getattr(self.network.base_model, "embeddings", None), "position_embeddings", None
        )
        padding = getattr(table, "padding_idx", None)
        return 0 if padding is None else int(padding) + 1

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


def class_number(model: LanguageModel, written: str) -> int | None:
    """The number of a class that is named, or written as a number; None when a classifier has no such class."""
    known = model.network.config.label2id
    number = known.get(written, int(written) if written.isdecimal() else -1)
    return int(number) if 0 <= number < model.choices else None


def copy_of(model: LanguageModel) -> LanguageModel:
    """A copy whose weights may be changed; the given model stays as it is."""
    return replace(model, network=copy.deepcopy(model.network))


def same_answers(one: LanguageModel, other: LanguageModel) -> bool:
    """Whether what one says can be compared with what the other says: same kind, same tokens, same classes."""
    alike = one.kind is other.kind and one.choices == other.choices
    return alike and bool(one.tokenizer.get_vocab() == other.tokenizer.get_vocab())


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
        kind = _kind(config, place)
        network, loading = _AUTO[kind].from_pretrained(
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
    _refuse_unfit(network, tokenizer, place)
    model = LanguageModel(network.to(device or best_device()).eval(), tokenizer, kind)
    _refuse_unnamed(model, place)
    return model


_AUTO = {
    Kind.CAUSAL: AutoModelForCausalLM,
    Kind.MASKED: AutoModelForMaskedLM,
    Kind.SEQ2SEQ: AutoModelForSeq2SeqLM,
    Kind.CLASSIFIER: AutoModelForSequenceClassification,
}
_HEADS = {
    "LMHeadModel": Kind.CAUSAL,
    "ForCausalLM": Kind.CAUSAL,
    "ForMaskedLM": Kind.MASKED,
    "ForConditionalGeneration": Kind.SEQ2SEQ,
    "ForSequenceClassification": Kind.CLASSIFIER,
}


def _kind(config: PretrainedConfig, place: str) -> Kind:
    """The kind by the head that the configuration names. Raises `RequestRejected` (MODEL_UNSUPPORTED)."""
    name = (config.architectures or [""])[0]
    kind = next((kind for head, kind in _HEADS.items() if name.endswith(head)), None)
    two_sided = bool(config.is_encoder_decoder)
    if kind is None or {Kind.SEQ2SEQ: not two_sided, Kind.CLASSIFIER: two_sided}.get(kind):
        raise RequestRejected(
            Code.MODEL_UNSUPPORTED,
            place=f"{place}, config.json, architectures",
            remedy="only causal, masked and seq2seq language models and classifiers without a decoder are supported.",
        )
    single = config.problem_type in {None, "single_label_classification"} and config.num_labels > 1
    if kind is Kind.CLASSIFIER and not single:
        raise RequestRejected(
            Code.MODEL_UNSUPPORTED,
            place=f"{place}, config.json, problem_type",
            remedy="only classifiers that choose one of several classes are supported.",
        )
    return kind


def _refuse_unfit(network: PreTrainedModel, tokenizer: object, place: str) -> None:
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


def _refuse_unnamed(model: LanguageModel, place: str) -> None:
    tokenizer = model.tokenizer
    needed = {
        Kind.CAUSAL: [tokenizer.eos_token_id],
        Kind.MASKED: [tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.mask_token_id],
        Kind.SEQ2SEQ: [tokenizer.eos_token_id, model.starts],
        Kind.CLASSIFIER: [model.network.config.pad_token_id],
    }
    if None in needed[model.kind]:
        raise RequestRejected(
            Code.MODEL_UNSUPPORTED,
            place=f"{place}, tokenizer_config.json and config.json",
            remedy="a masked model needs the tokens cls, sep and mask, a causal one an end token, a seq2seq one an end "
            "token and decoder_start_token_id, a classifier pad_token_id; name them there.",
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
