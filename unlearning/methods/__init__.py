"""How a model is made to forget. One file each; `METHODS` is the list of them.

A method is a frozen dataclass: the constructor takes the knobs, and its one verb, `unlearn(model, corpus)`, returns a
new model and a trace and leaves the model it was given untouched. The same seed gives the same weights; tokens that a
mask leaves out do not move the loss; the trace holds no personal data.
"""

from collections.abc import Mapping
from typing import Protocol

from unlearning.corpus import Corpus
from unlearning.methods.adversarial import Adversarial
from unlearning.methods.anchor_distillation import AnchorDistillation
from unlearning.methods.depn import Depn
from unlearning.methods.eul import Eul
from unlearning.methods.grad_diff import GradDiff
from unlearning.methods.gradient_ascent import GradientAscent
from unlearning.methods.kga import Kga
from unlearning.methods.llmu import Llmu
from unlearning.methods.loo_ensemble import LooEnsemble
from unlearning.methods.mechanistic import Mechanistic
from unlearning.methods.npo import Npo
from unlearning.methods.pcgu import Pcgu
from unlearning.methods.quark import Quark
from unlearning.methods.rank_demotion import RankDemotion
from unlearning.methods.relearning_ascent import RelearningAscent
from unlearning.methods.retrain import Retrain
from unlearning.methods.selective_ascent import SelectiveAscent
from unlearning.methods.simnpo import SimNpo
from unlearning.methods.sisa import Sisa
from unlearning.methods.task_vector import TaskVector
from unlearning.models import LanguageModel
from unlearning.unlearned import Unlearned


class Method(Protocol):
    """One way to forget."""

    def unlearn(self, model: LanguageModel, corpus: Corpus) -> Unlearned:
        """Return a new model that has forgotten; raises `UnlearningFailed` when it cannot."""
        ...


METHODS: Mapping[str, type[Method]] = {
    "anchor_distillation": AnchorDistillation,
    "selective_ascent": SelectiveAscent,
    "depn": Depn,
    "loo_ensemble": LooEnsemble,
    "retrain": Retrain,
    "sisa": Sisa,
    "relearning_ascent": RelearningAscent,
    "gradient_ascent": GradientAscent,
    "grad_diff": GradDiff,
    "npo": Npo,
    "simnpo": SimNpo,
    "llmu": Llmu,
    "adversarial": Adversarial,
    "mechanistic": Mechanistic,
    "pcgu": Pcgu,
    "task_vector": TaskVector,
    "rank_demotion": RankDemotion,
    "quark": Quark,
    "kga": Kga,
    "eul": Eul,
}
