"""Is the text itself likelier than texts that differ from it in a word or two?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from domain.errors import Code, RequestRejected
from domain.outcomes import AttackResult
from unlearning.attacks.asking import require_text
from unlearning.attacks.groups import apart, require_floor, require_groups
from unlearning.attacks.membership import compared
from unlearning.attacks.reference import losses, losses_alone
from unlearning.batches import batch_of
from unlearning.encoding import Encoded
from unlearning.models import LanguageModel
from unlearning.scoring import Target


@dataclass(frozen=True)
class Neighbourhood:
    """Neighbourhood comparison: loss minus the mean loss of neighbour texts (Mattern et al. 2023).

    Low means "seen in training": what was learnt by heart stands out from its neighbours, what was not does not. The
    paper's neighbours come from a masked model. Here no further model is needed: a neighbour differs in `swaps` tokens,
    which are words and no part of a secret, each drawn from the `top` tokens that the attacked model itself holds
    likeliest in its place, the true one left out. That needs one pass over a passage besides the shared one; all
    neighbours of all passages are then scored together. A model that writes proposes from the text before, a masked one
    from both sides, a classifier nothing: `RequestRejected`. A passage without such a word has no score.

    Attributes:
        neighbours: texts drawn for each passage.
        swaps: tokens that differ; fewer where the passage has fewer words.
        top: how many of the likeliest tokens are drawn from.
    """

    neighbours: int = 20
    swaps: int = 2
    top: int = 20

    def __post_init__(self) -> None:
        require_floor(self, neighbours=1, swaps=1, top=1)

    def run(
        self, target: Target, members: Sequence[Encoded], controls: Sequence[Encoded]
    ) -> AttackResult:
        """AUC of the difference. Raises `RequestRejected` when the person or the strangers have no neighbours."""
        require_groups(members, controls)
        require_text(target.model, "neighbourhood")
        members, controls = apart(members, controls)
        draw = torch.Generator().manual_seed(target.seed)
        with target.model.evaluating():
            found = self.measure(target, [*members, *controls], draw)
        ours, theirs = found[: len(members)], found[len(members) :]
        if not any(ours) or not any(theirs):
            raise RequestRejected(
                Code.ATTACK_INAPPLICABLE,
                place="attack neighbourhood",
                remedy="no word stands in the passages beside the secrets; leave the attack out.",
            )
        return AttackResult(
            "neighbourhood", compared(ours, theirs, controls, "neighbourhood_stands_out")
        )

    def measure(
        self, target: Target, rows: Sequence[Encoded], draw: torch.Generator
    ) -> list[Mapping[str, float]]:
        """The score of each row, empty for a row without neighbours."""
        near = [self.around(target.model, row, draw) for row in rows]
        own = losses(target, rows)
        far = iter(losses_alone(target.model, [text for texts in near for text in texts]))
        found: list[Mapping[str, float]] = []
        for loss, texts in zip(own, near, strict=True):
            others = [next(far) for _ in texts]
            found.append({"neighbourhood": loss - sum(others) / len(others)} if others else {})
        return found

    def around(self, model: LanguageModel, row: Encoded, draw: torch.Generator) -> list[Encoded]:
        """Neighbours of one passage, of its own length."""
        places = words(model, row)
        if not places:
            return []
        logits = _logits(model, row, places)  # (P, V)
        logits[torch.arange(len(places)), torch.tensor([row.ids[t] for t in places])] = -torch.inf
        logits[:, model.tokenizer.all_special_ids] = -torch.inf
        best = logits.topk(min(self.top, logits.shape[1] - 1))
        found = []
        for _ in range(self.neighbours):
            ids = list(row.ids)
            for n in torch.randperm(len(places), generator=draw)[: self.swaps].tolist():
                chosen = torch.multinomial(best.values[n].softmax(-1), 1, generator=draw)
                ids[places[n]] = int(best.indices[n, chosen])
            found.append(replace(row, ids=tuple(ids)))
        return found


def words(model: LanguageModel, row: Encoded) -> list[int]:
    """Places of the tokens that are letters only and belong to no secret; the first token has nothing before it."""
    special = set(model.tokenizer.all_special_ids)
    return [
        t
        for t, token in enumerate(row.ids)
        if t > 0 and not row.sensitive[t] and token not in special
        if model.tokenizer.decode([token]).strip().isalpha()
    ]


@torch.no_grad()
def _logits(model: LanguageModel, row: Encoded, places: Sequence[int]) -> torch.Tensor:
    """What the model would say at each place, (P, V) fp32 on the CPU."""
    if not model.masked:
        batch = batch_of(model, [row], torch.Generator())
        return batch.logits(model)[0, [t - batch.shift for t in places]].cpu()
    copies = torch.tensor(row.ids).repeat(len(places), 1)  # (P, T), one place masked in each
    at = torch.arange(len(places))
    copies[at, torch.tensor(places)] = model.tokenizer.mask_token_id
    with model.autocast():
        logits: torch.Tensor = model.network(input_ids=copies.to(model.device)).logits
    return logits[at, torch.tensor(places)].float().cpu()
