"""Run other projects' own losses, latent attack and label formula on the model of `tests/unlearning/judged.py`.

    python -m tests.benchmark.loss_judges FOLDER

`FOLDER` holds a checkout of each project in `ORIGIN`, under its name, at that commit. As in `judges`, nothing of theirs
is in this repository; their files are imported and their functions called. Writes
`tests/unlearning/golden/losses.json`, which `tests/unlearning/test_loss_judges.py` compares our own code with.
"""

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch

from tests.benchmark.judges import Empty, project
from tests.unlearning import judged
from tests.unlearning import loss_cases as cases
from unlearning.batches import Batch
from unlearning.latent import pushed
from unlearning.layers import blocks
from unlearning.losses import masked_mean, token_nll
from unlearning.models import LanguageModel

GOLDEN = Path("tests/unlearning/golden/losses.json")
ORIGIN = {
    "open-unlearning": ("locuslab/open-unlearning", "d3d7cf9e6b3c125d16687d4232680d8d83548f1a"),
    "Unlearn-Simple": ("OPTML-Group/Unlearn-Simple", "f1a355d3cb16cdaa2dfbda163a2e954c67886a4c"),
    "RobustUnlearning": (
        "HongbangYuan/RobustUnlearning",
        "70a85e8d930d4f234b1c84981bc5e11b4f534a91",
    ),
    "muse_bench": ("swj0419/muse_bench", "fcd6651da8bcf34744fb9a1cc69bb856ab3eb277"),
}
Add = Callable[[str, str, str, Any], None]


def inputs(batch: Batch, mask: torch.Tensor) -> dict[str, torch.Tensor]:
    """A batch as loaders give it: labels are the ids, -100 where `mask` (B, T - 1) leaves the prediction out."""
    labels = torch.full_like(batch.inputs, -100)
    labels[:, 1:][mask] = batch.labels[mask]
    return {"input_ids": batch.inputs, "attention_mask": batch.attention, "labels": labels}


def open_unlearning(add: Add, folder: Path, model: LanguageModel, other: LanguageModel) -> None:
    """NPO, SimNPO, WGA on a padded batch; KL passage by passage, since theirs counts padding."""
    name = "open-unlearning"
    with project(folder / "src") as theirs:
        functions = theirs("trainer.utils")
        for which, batch, mask in cases.batches(model):
            given = inputs(batch, mask)
            npo = functions.compute_dpo_loss(
                model.network, other.network, lose_inputs=given, beta=cases.BETA
            )
            add(f"npo_{which}", name, "trainer.utils.compute_dpo_loss", npo[0].item())
            wga = functions.compute_wga_loss(model.network, given, cases.WEIGHT)
            add(f"wga_{which}", name, "trainer.utils.compute_wga_loss", wga[0].item())
            trainer = SimpleNamespace(
                delta=cases.DELTA,
                beta=cases.SIMPLE_BETA,
                gamma=1.0,
                alpha=0.0,
                compute_retain_loss=lambda **_: 0.0,
            )
            simnpo = theirs("trainer.unlearn.simnpo").SimNPO.compute_loss(
                trainer, model.network, {"forget": given, "retain": given}
            )
            add(f"simnpo_{which}", name, "trainer.unlearn.simnpo.SimNPO", simnpo.item())
        whole = [
            {"input_ids": torch.tensor([row.ids]), "attention_mask": torch.ones(1, len(row)).long()}
            for row in judged.members()
        ]
        kl = [functions.compute_kl_divergence(model.network, other.network, x)[0] for x in whole]
        add("kl", name, "trainer.utils.compute_kl_divergence", [x.item() for x in kl])


def unlearn_simple(add: Add, folder: Path, model: LanguageModel, other: LanguageModel) -> None:
    """NPO and SimNPO of SimNPO's authors."""

    class Shifted:
        """Their models give logits that stand beside the labels."""

        def __init__(self, of: LanguageModel) -> None:
            self.of = of

        def forward(self, batch: Batch) -> torch.Tensor:
            return batch.logits(self.of)

    with project(folder / "synthetic") as theirs:
        functions = theirs("unlearn_utils")
        for which, batch, mask in cases.batches(model):
            labels = batch.labels.masked_fill(~mask, -100)
            pair = (Shifted(model), batch, labels, Shifted(other))
            npo = functions.NPO_loss(*pair, cases.BETA, 0)
            add(f"npo_{which}_again", "Unlearn-Simple", "unlearn_utils.NPO_loss", npo.item())
            simple = functions.SimNPO_loss(*pair, cases.SIMPLE_BETA, 0)
            add(
                f"simnpo_{which}_no_margin",
                "Unlearn-Simple",
                "unlearn_utils.SimNPO_loss",
                simple.item(),
            )


def robust_unlearning(add: Add, folder: Path, model: LanguageModel) -> None:
    """The latent attack on single passages: theirs pushes padding too."""
    path = folder / "LLaMA_Factory" / "src" / "llmtuner" / "train" / "adv_npo" / "trainer.py"
    for package in ("llmtuner", "llmtuner.extras", "llmtuner.train", "llmtuner.train.adv_npo"):
        sys.modules[package] = Empty(package)
    for silent, known in (
        ("llmtuner.extras.logging", {"get_logger": lambda _: None}),
        ("llmtuner.train.utils", {"create_custom_optimzer": None, "create_custom_scheduler": None}),
        ("trl.trainer.sft_trainer", {"unwrap_model": None, "PeftModel": None}),
    ):
        sys.modules[silent] = ModuleType(silent)
        vars(sys.modules[silent]).update(known, is_peft_available=lambda: False)
    spec = importlib.util.spec_from_file_location("llmtuner.train.adv_npo.trainer", path)
    assert spec is not None
    assert spec.loader is not None
    theirs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(theirs)
    function = "adv_npo.trainer.LATSFTTrainer.adv_attack"
    for n, (batch, hidden) in enumerate(cases.watched(model)):
        trainer = SimpleNamespace(
            norm_type="l2",
            perturb_layer=cases.LAYER,
            perturb_target="residual",
            epsilon=cases.RADIUS * float(hidden.norm()),
            steps=cases.STEPS,
            random_init=True,
            std_normalization=False,
            keep_in_eval=True,
            label_smoother=None,
        )
        torch.manual_seed(n)
        push = theirs.LATSFTTrainer.adv_attack(trainer, Pushable(model, batch), x=batch.inputs)
        add(f"push_{n}", "RobustUnlearning", function, push.flatten().tolist()[::7])


class Pushable:
    """Our model as their attack wants one: it hands out what goes into a block, and takes a push there."""

    training = False

    def __init__(self, model: LanguageModel, batch: Batch) -> None:
        self.model, self.batch = model, batch

    def eval(self) -> None:
        """It is."""

    def zero_grad(self) -> None:
        self.model.network.zero_grad()

    def __call__(
        self,
        perturbation: torch.Tensor | None = None,
        get_latents: bool = False,
        **_: Any,
    ) -> Any:
        if get_latents:
            return next(
                h for b, h in cases.watched(self.model) if b.inputs.equal(self.batch.inputs)
            ), None
        assert perturbation is not None
        with pushed(blocks(self.model)[cases.LAYER], perturbation):
            logits = self.batch.logits(self.model)
        return {"loss": masked_mean(token_nll(logits, self.batch.labels), self.batch.secret)}


def muse(add: Add, folder: Path, model: LanguageModel, other: LanguageModel) -> None:
    """The logits of Who's Harry Potter, at the secrets."""
    with project(folder / "baselines") as theirs:
        forward = theirs("baselines.whos_harry_potter").WHPModelForCausalLM.forward
        pair = SimpleNamespace(baseline=model.network, reinforced=other.network, alpha=cases.ALPHA)
        for n, row in enumerate(judged.members()):
            (span,) = row.spans
            with torch.no_grad():
                logits = forward(pair, torch.tensor([row.ids])).logits[0, :-1]
            found = logits[span.start - 1 : span.end - 1]
            name = "baselines.whos_harry_potter.WHPModelForCausalLM"
            add(f"whp_{n}", "muse_bench", name, found.flatten().tolist()[::97])


def main() -> None:
    """Ask every judge, and write what they said."""
    folder = Path(sys.argv[1]).absolute()
    torch.set_num_threads(1)
    model, other = judged.target(), judged.references()[0]
    found: dict[str, dict[str, Any]] = {}

    def add(name: str, judge: str, function: str, value: Any) -> None:
        found[name] = {"judge": judge, "function": function, "value": value}

    open_unlearning(add, folder / "open-unlearning", model, other)
    unlearn_simple(add, folder / "Unlearn-Simple", model, other)
    robust_unlearning(add, folder / "RobustUnlearning", model)
    muse(add, folder / "muse_bench", model, other)
    origin = {name: {"repository": r, "commit": c} for name, (r, c) in ORIGIN.items()}
    golden = {
        "made_by": "tests/benchmark/loss_judges.py",
        "torch": torch.__version__,
        "origin": origin,
        "values": found,
    }
    GOLDEN.write_text(json.dumps(golden, indent=1) + "\n", encoding="utf-8")
    print(f"{len(found)} values written to {GOLDEN}")


if __name__ == "__main__":
    main()
