"""Rank demotion: neurons that put a secret's token forward stop doing so, and say everything else as before.

After REVS (Ashuach et al. 2025, Findings of ACL, arXiv 2406.09325). The outgoing vector of a feed-forward neuron, read
through the last norm and the head, is a list of words it makes likelier (Geva et al. 2022). In that list the secret's
token is moved down; the vector that does so is written back. Nothing is trained. A word must not end lower than a
stranger's would: a secret that is the last choice of all is told by that.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from domain.errors import Code, UnlearningFailed
from unlearning.batches import Batch, batch_of
from unlearning.corpus import Corpus
from unlearning.layers import fed, final_norm, gain
from unlearning.levels import Levels
from unlearning.losses import masked_mean, token_nll
from unlearning.models import Kind, LanguageModel
from unlearning.neurons import down_projections, edit_of, outgoing
from unlearning.retaining import nameless
from unlearning.tuning import Knobs, drift, require_knob, require_least, targets, tuning
from unlearning.unlearned import Unlearned, seeded


@dataclass(frozen=True, kw_only=True)
class RankDemotion:
    """Demote, round by round, the secrets' tokens that are still likelier than strangers'.

    For each such token and each block the `neurons` are taken whose part in the token's logit (activation times
    outgoing vector times head) is largest, times the square of how many times more active they are than on neighbours'
    passages: those that serve everybody come last. In the list of each the token moves down towards `rank`. Of all
    vectors that do this the written one changes the other words' logits least (least squares, by the head's
    pseudo-inverse).

    Attributes:
        neurons: for each token, block and round.
        rank: where in a neuron's list of words the token goes, as a share of the vocabulary.
        pace: share of the way there that it goes in a round. Where many secrets are spelt in few tokens, as numbers
            are in digits, whole steps at once overshoot by far.
        level_share: how unlikely the tokens shall be, as a share of strangers' tokens in the same place.
        rounds: at most so many.
        layers: numbers of the blocks that are edited, from 0; empty: all.
        most_drift: mean KL(original || current), nats, that neighbours' passages may drift; the round that went beyond
            is taken back.
        budget_seconds: wall clock it may take.
    """

    neurons: int = 1
    rank: float = 1.0
    pace: float = 0.05
    level_share: float = 1.0
    rounds: int = 100
    layers: tuple[int, ...] = ()
    most_drift: float = 0.05
    budget_seconds: float = 3600.0

    def __post_init__(self) -> None:
        require_least(self, neurons=1, level_share=0, rounds=0, most_drift=0, budget_seconds=0)
        require_knob(
            fits=0 < self.rank <= 1, name="rank", remedy="it is a share; above 0 and at most 1."
        )
        require_knob(
            fits=0 < self.pace <= 1, name="pace", remedy="it is a share; above 0 and at most 1."
        )

    def unlearn(self, model: LanguageModel, corpus: Corpus) -> Unlearned:
        """Return the edited model.

        Raises `UnlearningFailed`: no spans, no neighbours, no causal model, no feed-forward layers or head found.
        """
        facts = targets(model, corpus)
        corpus.require_neighbours()
        rows = nameless(corpus.forget)
        knobs = Knobs(budget_seconds=self.budget_seconds)
        with tuning("rank_demotion", model, knobs, corpus.seed) as running, torch.no_grad():
            after, edits = running.after, _Edits(running.after, self.rank, self.pace)
            modules = down_projections(after)
            require_knob(
                fits=all(0 <= layer < len(modules) for layer in self.layers),
                name="layers",
                remedy=f"the model's blocks are 0 to {len(modules) - 1}.",
            )
            chosen = self.layers or tuple(range(len(modules)))
            batch = batch_of(after, rows, seeded(corpus.seed))
            cap = self.level_share * Levels(model, corpus).of(rows, batch.shift, after.device)
            neighbours = batch_of(after, corpus.neighbours, seeded(corpus.seed))
            usual = _usual(after, modules, neighbours)
            for _ in range(self.rounds + 1):
                with fed(modules) as activations:
                    nll = token_nll(batch.logits(after), batch.labels)
                likely = batch.secret & (nll < cap)
                row = {
                    "secret_nll": float(masked_mean(nll, batch.secret)),
                    "still_likely": float(likely.sum()),
                    "neighbours_kl": float(drift(model, after, neighbours)),
                }
                running.rows.append(row)
                running.clock.require_time()
                if row["neighbours_kl"] > self.most_drift:
                    edits.undo()
                    break
                running.require_sound(row)
                if not likely.any():
                    running.stopped = "target"
                    break
                if len(running.rows) <= self.rounds:
                    edits.begin()
                    for layer in chosen:
                        active = activations[layer][:, : likely.shape[1]][likely].float()
                        self._demote(edits, layer, active, usual[layer], batch.labels[likely])
            edit, digest = edit_of(after, edits.touched)
            facts |= {"neurons": float(edit.edited)}
            return running.unlearned(facts, {"edited_neurons": digest}, edit)

    def _demote(
        self,
        edits: "_Edits",
        layer: int,
        active: torch.Tensor,
        usual: torch.Tensor,
        words: torch.Tensor,
    ) -> None:
        """One block: active (N, F) its neurons where each of the words (N,) is to be moved down, usual (F,) else."""
        rows = outgoing(edits.modules[layer])  # (F, d), a view
        lists = edits.read @ rows.T.float()  # (V, F): the words' logits in each neuron's list
        size = active.abs()
        own = size / (usual + FAINT * size.amax(1, keepdim=True)).clamp(min=1e-12)
        parts = active * lists[words] * own**2  # (N, F)
        floors = _floors(lists, edits.rank)  # (2, F)
        for word, sign, part in zip(words.tolist(), active.sign(), parts, strict=True):
            above = sign * lists[word] - torch.where(sign > 0, *floors) > HIGHER
            most = part.masked_fill(~above, 0.0).topk(min(self.neurons, len(part)))
            for neuron in most.indices[most.values > 0].tolist():
                edits.lower(layer, neuron, word, float(sign[neuron]))
                lists[:, neuron] = edits.read @ rows[neuron].float()
                floors[:, neuron] = _floors(lists[:, neuron, None], edits.rank)[:, 0]


def _usual(model: LanguageModel, modules: Sequence[nn.Module], batch: Batch) -> list[torch.Tensor]:
    """Of each block, how active each neuron is on the batch, mean of absolute values (F,)."""
    with fed(modules) as activations:
        batch.logits(model)
    length = batch.valid.shape[1]
    return [inputs[:, :length][batch.valid].float().abs().mean(0) for inputs in activations]


def _floors(lists: torch.Tensor, rank: float) -> torch.Tensor:
    """(2, F): the logit at that share of each neuron's list (V, F), active as it is and with its sign turned."""
    ordered = lists.sort(0).values
    place = int(rank * (len(ordered) - 1))
    return torch.stack([ordered[-1 - place], -ordered[place]])


FAINT = 0.05
"""Of a token's most active neuron: activity below this on neighbours' passages counts as nothing."""
HIGHER = 1e-4
"""Logits by which a word must stand above its place in a list to be moved."""


@dataclass
class _Edits:
    """The model's neurons as lists of words, what was changed in them, and the way back of the last round.

    `read` (V, d) is the head with the last norm's weight in it, its mean word taken off: logits up to what is common to
    all words. `push` (V, d) is, for each word, the least change of a vector that lowers its logit by 1.
    """

    model: LanguageModel
    rank: float
    pace: float
    touched: set[tuple[int, int]] = field(default_factory=set)
    _before: dict[tuple[int, int], torch.Tensor] = field(default_factory=dict)
    _last: set[tuple[int, int]] = field(default_factory=set)

    def __post_init__(self) -> None:
        head = self.model.network.get_output_embeddings()
        try:
            norm = final_norm(self.model)
        except ValueError:
            norm = None
        if self.model.kind is not Kind.CAUSAL or head is None or norm is None:
            raise UnlearningFailed(
                Code.METHOD_INAPPLICABLE,
                place="method rank_demotion",
                remedy="it reads neurons through the head of a causal model; this one has none that was found.",
            )
        self.modules = down_projections(self.model)
        read = head.weight.detach().float() * gain(norm).float()
        self.read = read - read.mean(0)
        inverse = torch.linalg.pinv(self.read.T @ self.read)
        push = self.read @ inverse
        self.push = push / (push * self.read).sum(-1, keepdim=True).clamp(min=1e-6)

    def begin(self) -> None:
        """A new round."""
        self._before, self._last = {}, set(self.touched)

    def lower(self, layer: int, neuron: int, word: int, sign: float) -> bool:
        """In the neuron's list, with the sign of its activation, move the word `pace` of the way down to `rank`.

        Returns whether it stood higher.
        """
        row = outgoing(self.modules[layer])[neuron]
        logits = sign * (self.read @ row.float())
        place = int(self.rank * (len(logits) - 1))
        excess = logits[word] - logits.sort(descending=True).values[place]
        if excess <= HIGHER:
            return False
        self._before.setdefault((layer, neuron), row.clone())
        row -= (self.pace * sign * excess * self.push[word]).to(row.dtype)
        self.touched.add((layer, neuron))
        return True

    def undo(self) -> None:
        """Take the last round back."""
        for (layer, neuron), row in self._before.items():
            outgoing(self.modules[layer])[neuron] = row
        self.touched, self._before = set(self._last), {}
