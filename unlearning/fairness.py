"""FairSISA: answers of an ensemble of classifiers, mended so that they err as often for one group as for another.

After Kadhe et al. 2023 (arXiv 2312.07420): SISA training, which makes deletion exact, can make a classifier less fair,
and three post-processings of its members' yes and no answers help against that. The criterion is equalised odds (Hardt
et al. 2016, arXiv 1610.02413): the share of true positives, and that of false ones, is the same in every group. Each is
a linear program over the chance of answering yes, given the group and what the members said.

    pre    a program for each member, then the vote of the mended answers. The vote need not be fair.
    post   the vote first, then one program. Fair on the calibration set, but what the members said is thrown away.
    in     one program over all that the members said. Fair there, and no derived answer has a smaller error; so it is
           never larger than that of `post`, because the vote is a function of what the members said.

The groups' names come from whoever runs this, and are needed when answering as well. The calibration set is personal
data, and is erased from like any other; then the programs are solved again.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch

from domain.errors import Code, RequestRejected

LARGEST = 6
"""Members whose answers are told apart; of more only the number of yes is: most of 2^S cells would be empty."""
VARIANTS = MappingProxyType({"pre": "each, then the vote", "post": "the vote", "in": "all at once"})


@dataclass(frozen=True)
class Calibration:
    """Answers, groups and truth of texts on which the chances are fitted, or measured.

    Attributes:
        votes: (N, S) bool, the members' answers.
        groups: of each text, the name of its group.
        labels: (N,) bool, the truth.
    """

    votes: torch.Tensor
    groups: Sequence[str]
    labels: torch.Tensor

    def __post_init__(self) -> None:
        fits = self.votes.dim() == 2 and self.votes.numel() > 0
        fits = fits and len(self.votes) == len(self.groups) == len(self.labels)
        _require(fits, "it needs an answer of each member, a group and a label for every text.")


@dataclass(frozen=True)
class Fair:
    """How to answer: by group and code of the members' answers, the chance of yes.

    Attributes:
        variant: a key of `VARIANTS`.
        groups: names, in the order of the tables.
        chances: (M, G, C) float64; M is the number of members for "pre" and else 1.
    """

    variant: str
    groups: tuple[str, ...]
    chances: torch.Tensor

    def chance(self, votes: torch.Tensor, groups: Sequence[str]) -> torch.Tensor:
        """The chance of yes for each text: (N, S), N groups -> (N,) float64.

        Raises `RequestRejected` for a group that was not there when the chances were fitted.
        """
        unknown = set(groups) - set(self.groups)
        _require(not unknown, "there is a group that the calibration set does not have.")
        at = torch.tensor([self.groups.index(group) for group in groups])
        if self.variant != "pre":
            return self.chances[0][at, _codes(self.variant, votes)]
        members = [
            table[at, vote.long()] for table, vote in zip(self.chances, votes.T, strict=True)
        ]
        return _vote_of_chances(torch.stack(members))

    def answer(
        self, votes: torch.Tensor, groups: Sequence[str], draws: torch.Tensor
    ) -> torch.Tensor:
        """Yes or no, (N,) bool: yes where the draw, (N,) in [0, 1), is below the chance.

        With `draws` from `hashed` the same text always gets the same answer.
        """
        return draws < self.chance(votes, groups)

    def error(self, texts: Calibration) -> float:
        """The expected share of wrong answers."""
        yes, truth = self.chance(texts.votes, texts.groups), texts.labels.double()
        return float((yes * (1 - truth) + (1 - yes) * truth).mean())

    def gap(self, texts: Calibration) -> float:
        """The largest difference between two groups in the share of yes, among the true and among the false."""
        return odds_gap(self.chance(texts.votes, texts.groups), texts)


def odds_gap(yes: torch.Tensor, texts: Calibration) -> float:
    """The gap in equalised odds of answers (N,), or chances of yes: 0 is fair.

    Raises `RequestRejected` when a group lacks texts of one of the labels.
    """
    names = sorted(set(texts.groups))
    member = torch.tensor([names.index(group) for group in texts.groups])
    gaps = []
    for label in (False, True):
        cells = [(member == g) & (texts.labels.bool() == label) for g in range(len(names))]
        _require(all(bool(c.any()) for c in cells), "a group has no text of one of the labels.")
        rates = [float(yes[cell].double().mean()) for cell in cells]
        gaps.append(max(rates) - min(rates))
    return max(gaps)


def majority(votes: torch.Tensor) -> torch.Tensor:
    """(N, S) -> (N,) bool: more than half say yes."""
    return 2 * votes.long().sum(1) > votes.shape[1]


def fitted(variant: str, texts: Calibration) -> Fair:
    """Solve the program, or programs, of a variant on a calibration set.

    Raises `RequestRejected`: a group without texts of one of the labels, or scipy is not installed.
    """
    groups, members = tuple(sorted(set(texts.groups))), texts.votes.shape[1]
    if variant == "pre":
        one = torch.tensor([False, True])
        alone = [_program(groups, texts, vote.long(), one) for vote in texts.votes.T]
        return Fair(variant, groups, torch.stack(alone))
    every = _votes_of_codes(variant, members)
    return Fair(variant, groups, _program(groups, texts, _codes(variant, texts.votes), every)[None])


def hashed(texts: Sequence[bytes], key: bytes) -> torch.Tensor:
    """A number in [0, 1) for each text, evenly spread and always the same: HMAC-SHA256 under the key. (N,) float64."""
    digests = (hmac.digest(key, text, hashlib.sha256) for text in texts)
    return torch.tensor([(int.from_bytes(d[:8], "big") >> 11) / 2**53 for d in digests]).double()


def compared(texts: Calibration) -> Mapping[str, tuple[float, float]]:
    """Error and gap on the calibration set: of the vote as it is ("none"), and of each variant fitted there."""
    vote = majority(texts.votes)
    plain = float((vote != texts.labels.bool()).double().mean()), odds_gap(vote, texts)
    fits = {variant: fitted(variant, texts) for variant in VARIANTS}
    return {"none": plain, **{v: (fit.error(texts), fit.gap(texts)) for v, fit in fits.items()}}


def _votes_of_codes(variant: str, members: int) -> torch.Tensor:
    """What the vote says for each number that `_codes` gives, (C,) bool."""
    if variant == "post":
        return torch.tensor([False, True])
    if members > LARGEST:
        return 2 * torch.arange(members + 1) > members
    answers = (torch.arange(2**members)[:, None] >> torch.arange(members)) & 1  # (C, S)
    return majority(answers.bool())


def _codes(variant: str, votes: torch.Tensor) -> torch.Tensor:
    """What of the answers a variant looks at, as a number: (N, S) -> (N,)."""
    if variant == "post":
        return majority(votes).long()
    members = votes.shape[1]
    if members > LARGEST:
        return votes.long().sum(1)
    return (votes.long() * 2 ** torch.arange(members)).sum(1)


def _program(
    groups: Sequence[str], texts: Calibration, codes: torch.Tensor, votes: torch.Tensor
) -> torch.Tensor:
    """The chances (G, C) of least error under equalised odds; a code that a group does not show is answered by vote.

    min over t in [0, 1] of sum t[a, c] (P(a, c, y=0) - P(a, c, y=1))
    such that for y = 0, 1 and every group a: sum over c of t[a, c] P(c | a, y) is what it is for the first group.
    """
    at, count = torch.tensor([groups.index(group) for group in texts.groups]), len(votes)
    table = torch.zeros(len(groups), count, 2, dtype=torch.float64)
    table.index_put_((at, codes, texts.labels.long()), torch.ones(()).double(), accumulate=True)
    totals = table.sum(1)  # (G, 2)
    _require(bool((totals > 0).all()), "a group has no text of one of the labels.")
    rates = table / totals[:, None]  # P(c | a, y)
    rows = []
    for group in range(1, len(groups)):
        for label in (0, 1):
            row = torch.zeros(len(groups), count, dtype=torch.float64)
            row[0], row[group] = rates[0, :, label], -rates[group, :, label]
            rows.append(row.flatten())
    cost = (table[..., 0] - table[..., 1]).flatten() / len(codes)
    chances = _solved(cost, torch.stack(rows) if rows else None).view(len(groups), count)
    return torch.where(table.sum(-1) > 0, chances, votes.double())


def _solved(cost: torch.Tensor, equal: torch.Tensor | None) -> torch.Tensor:
    try:
        from scipy.optimize import linprog
    except ImportError:
        raise RequestRejected(
            Code.SETTING_INVALID,
            place="post-processing for fairness",
            remedy="it needs scipy, which is not installed here; install it.",
        ) from None
    found = linprog(
        cost.numpy(),
        A_eq=None if equal is None else equal.numpy(),
        b_eq=None if equal is None else [0.0] * len(equal),
        bounds=(0, 1),
        method="highs-ds",  # ends in a corner, where the constraints hold to rounding
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    if found.status != 0:  # one answer for all is always fair, so that there is a solution
        raise ArithmeticError(f"the program was not solved: status {found.status}")
    return torch.tensor(found.x, dtype=torch.float64).clamp(0, 1)


def _vote_of_chances(chances: torch.Tensor) -> torch.Tensor:
    """(S, N) chances of independent yes answers -> (N,) the chance that more than half are yes."""
    exactly = torch.zeros(len(chances) + 1, chances.shape[1], dtype=torch.float64)
    exactly[0] = 1.0
    for p in chances:
        exactly[1:] = exactly[1:] * (1 - p) + exactly[:-1] * p
        exactly[0] *= 1 - p
    return exactly[len(chances) // 2 + 1 :].sum(0)


def _require(fits: bool, what: str) -> None:
    if not fits:
        raise RequestRejected(
            Code.EXAMPLES_INVALID, place="the calibration set for fairness", remedy=what
        )
