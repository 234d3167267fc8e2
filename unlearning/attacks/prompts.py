"""Does the model say the secret when it is asked for in other words than those it was trained on?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from domain.errors import Code, RequestRejected
from domain.intervals import rate
from domain.outcomes import AttackResult, Estimate, Rule, Score
from unlearning.attacks.asking import require_causal
from unlearning.attacks.groups import require_floor, require_groups
from unlearning.attacks.probes import DIRECT, FAMILIES, fitted, questions
from unlearning.encoding import Encoded
from unlearning.scoring import Target, answered

_Prompt = tuple[tuple[int, ...], int]  # a prompt with its answer, and where the answer begins


@dataclass(frozen=True)
class Prompts:
    """Every secret asked for in other words (probe families as in Jin et al. 2024, RWKU).

    A hit is a prompt after which every token of the secret is the first choice given the true ones before: one batched
    pass over short texts. A prompt stands behind the start token and is cut at its front to fit the context; one that
    is asked twice counts once, and the text before the secret as it stands is left to `Extraction`. `prompts` is the
    rate over secrets x prompts, `any_prompt` that of secrets said to at least one; `name` the rate at which a secret in
    turn gives the name. Nobody is asked for by name who has none in any passage. The words are English. Masked models
    do not continue a prompt, and where no family has anything to ask there is nothing to report: `RequestRejected`.

    Attributes:
        families: which of `FAMILIES` to ask with.
        prefixes: numbers of tokens shown by `shortened`.
        shots: other people's passages shown by `in_context`.
    """

    families: tuple[str, ...] = tuple(FAMILIES)
    prefixes: tuple[int, ...] = (5, 10, 25)
    shots: int = 2

    def __post_init__(self) -> None:
        if not self.families or set(self.families) - set(FAMILIES):
            raise ValueError(f"families must be some of {', '.join(FAMILIES)}")
        if any(k < 1 for k in self.prefixes):
            raise ValueError("prefixes must be numbers of tokens, each at least 1")
        require_floor(self, shots=0)

    def run(
        self, target: Target, members: Sequence[Encoded], controls: Sequence[Encoded]
    ) -> AttackResult:
        """Rates of hits on the person and on people the model never saw."""
        require_groups(members, controls)
        require_causal(target.model, "prompts")
        inverted = [f for f in self.families if f not in DIRECT]
        direct = [f for f in self.families if f in DIRECT]
        scores: list[Score] = []
        with target.model.evaluating():
            ours, theirs = (self._answers(target, rows, direct) for rows in (members, controls))
            if ours and theirs:
                unit = "secrets x prompts"
                scores += [
                    Score("prompts", unit, _all(ours), _all(theirs), rule=Rule.RATE),
                    Score("any_prompt", "secrets", _any(ours), _any(theirs), rule=Rule.RATE),
                ]
            ours, theirs = (self._answers(target, rows, inverted) for rows in (members, controls))
            if ours and theirs:
                scores.append(
                    Score("name", "names x prompts", _all(ours), _all(theirs), rule=Rule.RATE)
                )
        if not scores:
            raise RequestRejected(
                Code.ATTACK_INAPPLICABLE,
                place="attack prompts, families",
                remedy="none of them has anything to ask about these passages; choose others.",
            )
        return AttackResult("prompts", tuple(scores))

    def _answers(
        self, target: Target, rows: Sequence[Encoded], families: Sequence[str]
    ) -> list[Mapping[_Prompt, bool]]:
        """For each secret that a family asks about, its prompts and whether each is a hit."""
        asked = []
        for one in questions(target, rows, self.prefixes, self.shots):
            pairs = (pair for family in families for pair in FAMILIES[family](one))
            prompts = [p for pair in pairs if (p := fitted(one, *pair, len(pair[1]))) is not None]
            own = one.row.ids[: one.span.end]
            asked.append(dict.fromkeys(p for p in prompts if p[0] != own))
        every = list(dict.fromkeys(prompt for prompts in asked for prompt in prompts))
        hit = dict(zip(every, answered(target.model, every), strict=True))
        return [{prompt: hit[prompt] for prompt in prompts} for prompts in asked if prompts]


def _all(found: Sequence[Mapping[_Prompt, bool]]) -> Estimate:
    """Rate of hits over all prompts, each counted once."""
    each = {prompt: hit for hits in found for prompt, hit in hits.items()}
    return rate(sum(each.values()), len(each))


def _any(found: Sequence[Mapping[_Prompt, bool]]) -> Estimate:
    """Rate of the secrets said to at least one prompt."""
    return rate(sum(any(hits.values()) for hits in found), len(found))
