"""Run other projects' own metric functions on the model and texts of `tests/unlearning/judged.py`; keep their numbers.

    python -m tests.benchmark.judges FOLDER

`FOLDER` holds a checkout of each project in `ORIGIN`, under its name, at that commit. Nothing of theirs is in this
repository: this script imports their files and calls their functions. Packages that their files import and that no
number comes from are replaced by empty ones. Writes `tests/unlearning/golden/judges.json`, which
`tests/unlearning/test_judges.py` compares our own code with.
"""

import importlib
import importlib.abc
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch

from tests.unlearning import judged
from unlearning.encoding import Encoded
from unlearning.models import LanguageModel

GOLDEN = Path("tests/unlearning/golden/judges.json")
ORIGIN = {
    "open-unlearning": ("locuslab/open-unlearning", "d3d7cf9e6b3c125d16687d4232680d8d83548f1a"),
    "mimir": ("iamgroot42/mimir", "1b6fd649eeeecc887275a2336c7da808ee58757d"),
    "muse_bench": ("swj0419/muse_bench", "fcd6651da8bcf34744fb9a1cc69bb856ab3eb277"),
    "privacy": ("tensorflow/privacy", "03035d5d4a271ac795dab80f5bc1cef82fc3d462"),
    "ml_privacy_meter": (
        "privacytrustlab/ml_privacy_meter",
        "e384af8fd9319b8eeb1303aa82474df1441e3c59",
    ),
    "knowledge-unlearning": (
        "joeljang/knowledge-unlearning",
        "732876dc19a782c4440c3565cf9821df0a4c7ca0",
    ),
}
UNUSED = (  # imported by their files; no number below comes from them
    *("rouge_score", "omegaconf", "hydra", "datasets", "lm_eval", "accelerate", "deepspeed"),
    *("openai", "hf_olmo", "mimir.config", "mimir.custom_datasets", "mimir.data_utils"),
    *("pytorch_lightning", "torchmetrics", "pandas", "Datasets", "dataset", "tensorflow_privacy"),
)
K = 0.2


class Empty(ModuleType):
    """A module, and a package, in which every name is an empty class."""

    __path__: list[str] = []  # noqa: RUF012  what makes it a package
    __all__: list[str] = []  # noqa: RUF012

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


class Unused(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds an empty module for each name of `UNUSED`."""

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        known = any(name == one or name.startswith(f"{one}.") for one in UNUSED)
        return importlib.util.spec_from_loader(name, self) if known else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return Empty(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


@contextmanager
def project(folder: Path) -> Iterator[Callable[[str], Any]]:
    """Their modules by name, found in `folder` first, forgotten afterwards: two projects have a `models` each."""
    known, finder = dict(sys.modules), Unused()
    sys.path.insert(0, str(folder))
    sys.meta_path.insert(0, finder)
    try:
        yield importlib.import_module
    finally:
        sys.path.remove(str(folder))
        sys.meta_path.remove(finder)
        for name in set(sys.modules) - set(known):
            path = getattr(sys.modules[name], "__file__", None) or ""
            if isinstance(sys.modules[name], Empty) or path.startswith(str(folder)):
                del sys.modules[name]


Both = dict[str, list[Any]]


class Case:
    """The model, its references and the texts, and what the judges said of them so far."""

    def __init__(self) -> None:
        self.model, self.references = judged.target(), judged.references()
        self.groups = {"members": judged.members(), "controls": judged.controls()}
        self.found: dict[str, dict[str, Any]] = {}

    def each(self, number: Callable[[Encoded], Any]) -> Both:
        """A number of each passage of both groups."""
        return {name: [number(row) for row in rows] for name, rows in self.groups.items()}

    def add(self, name: str, judge: str, function: str, convention: str, **numbers: Any) -> None:
        """Keep numbers with where they come from."""
        self.found[name] = {
            "judge": judge,
            "function": function,
            "convention": convention,
            **numbers,
        }


def labelled(rows: Sequence[Encoded]) -> list[dict[str, Any]]:
    """Rows as open-unlearning's loaders give them: all tokens but the start token are labelled."""
    return [
        {
            "input_ids": torch.tensor(row.ids),
            "labels": torch.tensor([-100, *row.ids[1:]]),
            "index": n,
        }
        for n, row in enumerate(rows)
    ]


def open_unlearning(case: Case, folder: Path) -> None:
    name, network, words = "open-unlearning", case.model.network, case.model.tokenizer
    data = {
        "forget": labelled(case.groups["members"]),
        "holdout": labelled(case.groups["controls"]),
    }
    with project(folder / "src") as get:
        collator = get("data.collators").DataCollatorForSupervisedDataset(words, index="index")
        mia, memory = get("evals.metrics.mia"), get("evals.metrics.memorization")
        auc = get("evals.metrics.mia.utils").mia_auc
        dropped = "the last labelled token is left out"
        for metric, attack, convention, options in (
            ("loss", "LOSSAttack", "mean nll of the labelled tokens", {}),
            ("zlib", "ZLIBAttack", "loss / len(zlib(text))", {"tokenizer": words}),
            (
                "difference",
                "ReferenceAttack",
                "loss - loss of reference 0",
                {"reference_model": case.references[0].network},
            ),
            ("mink_drop_last", "MinKProbAttack", f"k = {K}, {dropped}", {"k": K}),
            ("minkpp_drop_last", "MinKPlusPlusAttack", f"k = {K}, {dropped}", {"k": K}),
            ("gradnorm", "GradNormAttack", f"mean over tensors of 2-norms, {dropped}", {"p": 2}),
        ):
            said = auc(getattr(mia, attack), network, data, collator, 1, **options)
            case.add(
                metric,
                name,
                f"evals.metrics.mia.utils.mia_auc({attack})",
                convention,
                members=[v["score"] for v in said["forget"]["value_by_index"].values()],
                controls=[v["score"] for v in said["holdout"]["value_by_index"].values()],
                auc=float(said["auc"]),
            )
        for metric, function in (
            ("extraction_strength_floor", "extraction_strength"),
            ("exact_memorisation_drop_last", "exact_memorization"),
        ):
            given = {"collators": collator, "batch_size": 2}
            both = {
                group: list(
                    getattr(memory, function)
                    ._metric_fn(network, data=data[split], **given)["value_by_index"]
                    .values()
                )
                for group, split in (("members", "forget"), ("controls", "holdout"))
            }
            scores = {g: [v["score"] for v in values] for g, values in both.items()}
            text = f"{dropped}; ES at least 1/n" if "ES" in metric.upper() else dropped
            case.add(metric, name, f"evals.metrics.memorization.{function}", text, **scores)
    network.eval()
    network.zero_grad()


class Reader:
    """A tokenizer that puts the start token first, for judges that read text."""

    pad_token_id = None

    def __init__(self, model: LanguageModel) -> None:
        self.words = model.tokenizer

    def encode(self, text: str) -> list[int]:
        return [self.words.bos_token_id, *self.words(text)["input_ids"]]

    def __call__(self, text: str, return_tensors: str = "pt") -> SimpleNamespace:
        return SimpleNamespace(input_ids=torch.tensor([self.encode(text)]))


def muse(case: Case, folder: Path) -> None:
    """By their `eval_data` and `sweep`; their `eval`, which would call both, stops with an error at this commit."""
    with project(folder) as get:
        privleak = get("metrics.privleak")
        said = {
            group: privleak.eval_data(
                [row.text for row in rows], case.model.network, Reader(case.model)
            )
            for group, rows in case.groups.items()
        }
        for metric, key, convention in (
            ("mink", f"Min-{int(K * 100)}%", f"k = {K}, all tokens"),
            ("lowercase", "PPL/lower", "loss / loss of the text in lower case"),
            ("zlib_muse", "PPL/zlib", "loss / len(zlib(text))"),
        ):
            scores = {group: [values[key] for values in rows] for group, rows in said.items()}
            known = np.array([1] * len(scores["members"]) + [0] * len(scores["controls"]))
            area = privleak.sweep(np.array(scores["members"] + scores["controls"]), known)[2]
            case.add(
                metric,
                "muse_bench",
                "metrics.privleak.eval_data, metrics.privleak.sweep",
                convention,
                **scores,
                auc=float(area),
            )


def mimir(case: Case, folder: Path) -> None:
    row = judged.background()[0]
    with project(folder) as get:
        settings = SimpleNamespace(openai_config=None, env_config=SimpleNamespace(cache_dir=""))
        model = get("mimir.models").Model(settings)
        model.model, model.tokenizer = case.model.network, Reader(case.model)
        model.device, model.name = "cpu", "gpt2"
        model.max_length, model.stride = case.model.context, case.model.context // 2
        config = SimpleNamespace(pretokenized=False)
        attacks = {
            kind: getattr(get(f"mimir.attacks.{file}"), kind)(config, model)
            for file, kind in (
                ("min_k_plus_plus", "MinKPlusPlusAttack"),
                ("gradnorm", "GradNormAttack"),
                ("recall", "ReCaLLAttack"),
            )
        }

        def tokens(asked: Encoded) -> Any:
            return np.array(asked.ids)

        def minkpp(asked: Encoded) -> float:
            own, every = model.get_probabilities("", tokens=tokens(asked), return_all_probs=True)
            return float(attacks["MinKPlusPlusAttack"]._attack("", own, k=K, all_probs=every))

        def gradnorm(asked: Encoded) -> float:
            return float(attacks["GradNormAttack"]._attack("", None, tokens=tokens(asked), p=2))

        def recall(asked: Encoded) -> float:
            text = SimpleNamespace(input_ids=torch.tensor([asked.ids[1:]]))
            behind = attacks["ReCaLLAttack"].get_conditional_ll(
                [row.text], "", 1, len(asked), tokens=text
            )
            return float(behind / model.get_ll("", tokens=tokens(asked)))

        file = "mimir.attacks"
        case.add(
            "minkpp",
            "mimir",
            f"{file}.min_k_plus_plus.MinKPlusPlusAttack._attack",
            f"k = {K}, all tokens, variance not clamped",
            **case.each(minkpp),
        )
        case.add(
            "gradnorm_mimir",
            "mimir",
            f"{file}.gradnorm.GradNormAttack._attack",
            "minus the mean over tensors of 2-norms, all tokens",
            **case.each(gradnorm),
        )
        case.add(
            "recall",
            "mimir",
            f"{file}.recall.ReCaLLAttack.get_conditional_ll and mimir.models.Model.get_ll",
            "their get_ll is a loss, so this is minus the ratio; the prefix is background text 0",
            **case.each(recall),
        )


def privacy_meter(case: Case, folder: Path) -> None:
    with project(folder) as get:
        softmax = get("get_signals").get_softmax
        run = get("modules.mia.attacks.rmia").run_rmia

        def signal(model: LanguageModel, row: Encoded) -> float:
            ids = torch.tensor([row.ids])
            return float(softmax(model.network, ids[:, :-1], ids[:, 1:], 1, "cpu")[0, 0])

        models = [case.model, *case.references]
        signals = case.each(lambda row: [signal(model, row) for model in models])
        case.add(
            "signal",
            "ml_privacy_meter",
            "get_signals.get_softmax",
            "exp(mean log-probability): the target, then each reference",
            **signals,
        )

        def share(own: Sequence[float], population: Sequence[Sequence[float]], a: float) -> float:
            x, z = np.array([own]), np.array(population)
            out = x[:, 1:]
            seen = np.zeros_like(out).astype(bool)
            return float(run(x[:, 0], out, seen, z[:, 0], z[:, 1:], a, out.shape[1])[0])

        others = signals["controls"]
        for a in (0.0, 0.3, 1.0):
            case.add(
                f"rmia_{a}",
                "ml_privacy_meter",
                "modules.mia.attacks.rmia.run_rmia",
                f"gamma = 1, a = {a}; the population are the controls, a control is left out of its own",
                members=[share(own, others, a) for own in signals["members"]],
                controls=[
                    share(own, others[:n] + others[n + 1 :], a) for n, own in enumerate(others)
                ],
            )


@torch.no_grad()
def plain_nll(model: LanguageModel, ids: Sequence[int], start: int) -> float:
    """-log2 p of `ids[start:]`, from one pass over the whole text: the log-perplexity of Carlini et al. 2019."""
    log_p = model.network(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return -float(sum(log_p[t - 1, ids[t]] for t in range(start, len(ids)))) / float(np.log(2))


def tf_privacy(case: Case, folder: Path) -> None:
    tests = folder / "tensorflow_privacy" / "privacy" / "privacy_tests"
    with project(tests / "secret_sharer") as get:
        interpolated = get("exposures").compute_exposure_interpolation

        def exposure(row: Encoded) -> float:
            (span,) = row.spans
            before = row.ids[: span.start]
            truth, *others = (
                plain_nll(case.model, (*before, *value), span.start)
                for value in (row.ids[span.start : span.end], *span.candidates)
            )
            return float(interpolated({0: [truth]}, others)[0][0])

        case.add(
            "exposure",
            "privacy",
            "tensorflow_privacy.privacy.privacy_tests.secret_sharer.exposures"
            ".compute_exposure_interpolation",
            "log2 R - log2 rank, R without the truth; ours counts it too, so log2((R + 1) / R) more",
            **case.each(exposure),
        )
    with project(tests / "membership_inference_attack") as get:
        lira = get("advanced_mia")
        signals = case.found["signal"]
        every = np.array([*signals["members"], *signals["controls"]], dtype=np.float64)
        logits = np.stack(
            [
                lira.calculate_statistic(
                    np.stack([1 - p, p], axis=1),
                    np.ones(len(p), dtype=int),
                    is_logits=False,
                    option="logit",
                )
                for p in every.T
            ],
            axis=1,
        )  # (passages, models)
        outs = [row[1:, None] for row in logits]
        for metric, shared in (("lira_shared", True), ("lira_alone", False)):
            scores = lira.compute_score_lira(
                logits[:, :1], [], outs, "out", fix_variance=shared, median_or_mean="mean"
            ).tolist()
            case.add(
                metric,
                "privacy",
                "tensorflow_privacy.privacy.privacy_tests.membership_inference_attack.advanced_mia"
                ".compute_score_lira",
                f"option out, mean, one deviation for all: {shared}; log-density; signals of ml_privacy_meter",
                members=scores[: len(signals["members"])],
                controls=scores[len(signals["members"]) :],
            )


class Continues:
    """Their `self.model.generate`, with the start token before what they ask with."""

    def __init__(self, model: LanguageModel) -> None:
        self.model = model

    def generate(self, prompt: torch.Tensor, max_length: int) -> torch.Tensor:
        rows = prompt.view(-1, prompt.shape[-1])
        start = torch.full((len(rows), 1), self.model.tokenizer.bos_token_id)
        ids = torch.cat([start, rows], dim=1)
        said = self.model.network.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_length=max_length + 1,
            do_sample=False,
            pad_token_id=self.model.tokenizer.pad_token_id,
        )[:, 1:]
        return said.view(*prompt.shape[:-1], -1)


def knowledge_unlearning(case: Case, folder: Path) -> None:
    lengths = [2, 3]
    with project(folder) as get:
        kind = get("models.Neo_Model").Neo
        kind.validation_ma.__globals__["accuracy"] = lambda *_, **__: (
            0.0
        )  # torchmetrics; only logged

        def ask(row: Encoded) -> tuple[SimpleNamespace, Mapping[str, torch.Tensor]]:
            asked = SimpleNamespace(
                model=Continues(case.model),
                target_length=len(row) - 1,
                el_n=lengths,
                ngram_of_1D_tensor=lambda x, n: kind.ngram_of_1D_tensor(None, x, n),
                log=lambda *_, **__: None,
            )
            return asked, {"source_ids": torch.tensor([row.ids[1:]])}

        def likelihood(row: Encoded) -> dict[str, float]:
            asked, batch = ask(row)
            said = kind.validation_el(asked, batch, "judged")
            return {key: float(np.ravel(value)[0]) for key, value in said.items()}

        def accuracy(row: Encoded) -> float:
            asked, batch = ask(row)
            said, truth = (t.view(-1) for t in kind.validation_ma(asked, batch, "judged"))
            return float((said == truth).double().mean())

        case.add(
            "el",
            "knowledge-unlearning",
            "models.Neo_Model.Neo.validation_el",
            "EL_n by n; a hit counts as often as it is said, not capped at 1 for each prefix",
            **case.each(likelihood),
        )
        case.add(
            "ma",
            "knowledge-unlearning",
            "models.Neo_Model.Neo.validation_ma",
            "share of right tokens from the second on; ours counts the first, after the start token, too",
            **case.each(accuracy),
        )


def main() -> None:
    """Ask every judge, and write what they said."""
    folder = Path(sys.argv[1]).absolute()
    torch.set_num_threads(1)
    case = Case()
    open_unlearning(case, folder / "open-unlearning")
    muse(case, folder / "muse_bench")
    mimir(case, folder / "mimir")
    privacy_meter(case, folder / "ml_privacy_meter")
    tf_privacy(case, folder / "privacy")
    knowledge_unlearning(case, folder / "knowledge-unlearning")
    origin = {name: {"repository": r, "commit": c} for name, (r, c) in ORIGIN.items()}
    golden = {
        "made_by": "tests/benchmark/judges.py",
        "torch": torch.__version__,
        "origin": origin,
        "scores": case.found,
    }
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(json.dumps(golden, indent=1) + "\n", encoding="utf-8")
    print(f"{len(case.found)} scores written to {GOLDEN}")


if __name__ == "__main__":
    main()
