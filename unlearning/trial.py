"""One erasure, made ready once: what the method may learn from, whom the attacks ask, and who is only ever scored."""

import hashlib
import json
import random
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from domain.errors import Code, RequestRejected, UnlearningFailed
from domain.outcomes import Assessment, AttackResult, Utility
from domain.records import Passage, SpanKind
from unlearning.attacks import Attack
from unlearning.attacks.extraction import Extraction
from unlearning.controls import strangers
from unlearning.corpus import Corpus, Lesson
from unlearning.encoding import Encoded, encode
from unlearning.excerpts import excerpts
from unlearning.lookalikes import Pool
from unlearning.models import Kind, LanguageModel
from unlearning.scoring import Target
from unlearning.transplants import by_person, transplants
from unlearning.utility import measures, perplexity


@dataclass(frozen=True)
class Trial:
    """Everything one model's erasure needs; all of it personal data.

    Attributes:
        corpus: what a method may use.
        members, controls: the person's passages and those of people the model never saw, secrets with candidates.
        others: passages of people who are in no loss; what the model gives away about them ought to stay.
        retained: text about nobody that is in no loss, for perplexity.
        groups: the group of each other person, where somebody has named it.
    """

    corpus: Corpus
    members: tuple[Encoded, ...]
    controls: tuple[Encoded, ...]
    others: tuple[Encoded, ...]
    retained: tuple[Encoded, ...]
    groups: Mapping[str, str] = field(default_factory=dict)


def prepare(
    model: LanguageModel,
    members: Sequence[Passage],
    neighbours: Sequence[Passage],
    ordinary: Sequence[Passage],
    *,
    seed: int,
    controls: int = 10,
    candidates: int = 127,
    held_out: float = 0.4,
    texts: Callable[[], Iterable[Lesson]] = tuple,
    finds: Callable[[str], bool] = lambda _: False,
    groups: Mapping[str, str] = MappingProxyType({}),
    selected: Sequence[Passage] = (),
) -> Trial:
    """Split, encode, and make up the people the model never saw.

    Args:
        model: gives the tokenizer and the context length.
        members: the person's passages; equal ones count once. A classifier's secret is the class of each, so all of
            them hold one.
        neighbours: other people's passages of the same form, grouped by `person`.
        ordinary: text about nobody.
        seed: every split and every made-up person comes from it.
        controls: people the model never saw.
        candidates: values of the same form that each secret is ranked among.
        texts: as in `Corpus`, for methods that train again.
        finds: as in `Corpus`, for methods that look at what the model says.
        groups: the group of other people, by `person`, as somebody has named it.
        selected: the person's passages with the spans of online selection, for methods that ask for them.
        held_out: share of the neighbours (whole people) and of the ordinary text kept out of every loss, for scoring.

    Raises:
        UnlearningFailed: no secret in the passages, or fewer than two other people of the same form.
    """
    order, originals = random.Random(seed), tuple(members)
    members = tuple({(p.text, p.answer, p.label): p for p in members}.values())

    def holds_secret(passage: Passage) -> bool:
        if model.kind is Kind.CLASSIFIER:
            return bool(passage.person)
        return any(s.kind is not SpanKind.PERSON for s in passage.spans)

    if not any(map(holds_secret, members)):
        raise UnlearningFailed(
            Code.NO_SPANS,
            place="the person's passages",
            remedy="no secret lies in them, so there is nothing to unlearn.",
        )
    people = sorted({p.person for p in neighbours if holds_secret(p)})
    order.shuffle(people)
    cut = max(1, round(held_out * len(people)))
    if len(people) < 2:
        raise UnlearningFailed(
            Code.NO_NEIGHBOURS,
            place="other people's passages",
            remedy="fewer than two people of the same form were found, so damage to others could not be measured; "
            "add the corpus the model was trained on to the request's scope.",
        )
    scored, learnt = set(people[:cut]), set(people[cut:])
    plain = list({(p.text, p.answer, p.label): p for p in ordinary}.values())
    order.shuffle(plain)
    half = max(1, round(held_out * len(plain)))
    pool = Pool.of(neighbours, model.tokenizer)

    def rivals(kind: SpanKind, value: str) -> list[str]:
        return pool.lookalikes(kind, value, candidates, order)

    encoded = encode(model, members, rivals)
    unknown = encode(model, strangers(members, pool, controls, order), rivals)
    # the method learns from other strangers than those it is judged against
    learnt_from = strangers(members, pool, controls, order)
    in_losses = [p for p in neighbours if p.person in learnt]

    def forms(heard: Iterable[str], count: int) -> tuple[tuple[Encoded, ...], tuple[Encoded, ...]]:
        drawn = random.Random(seed)
        every = (*members, *transplants(heard, members, in_losses, count, drawn))
        unknown = strangers(every, pool, controls, drawn)
        return encode(model, every, names=True), encode(model, unknown, names=True)

    def cut_out(count: int) -> tuple[tuple[Encoded, ...], tuple[Encoded, ...]]:
        fronts = [p.text.reveal() for p in (*in_losses, *plain[half:])]
        people = [
            encode(model, excerpts(own, count, fronts, random.Random(seed)), names=True)
            for own in (members, *by_person(learnt_from).values())
        ]
        return people[0], tuple(row for rows in people[1:] for row in rows)

    return Trial(
        corpus=Corpus(
            forget=encode(model, members, names=True),
            neighbours=encode(model, in_losses),
            ordinary=encode(model, plain[half:]),
            controls=encode(model, learnt_from, names=True),
            names=frozenset(_values(members)),
            references=frozenset(p.ref for p in originals),
            seed=seed,
            originals=originals,
            texts=texts,
            secrets=frozenset(_values(members, frozenset(SpanKind) - {SpanKind.PERSON})),
            finds=finds,
            forms=forms,
            cut=cut_out if model.kind is Kind.CAUSAL else None,
            selected=encode(model, {p.text: p for p in selected}.values(), names=True),
        ),
        members=encoded,
        controls=unknown,
        others=encode(model, [p for p in neighbours if p.person in scored]),
        retained=encode(model, plain[:half] or [p for p in neighbours if p.person in scored]),
        groups=dict(groups),
    )


def _values(
    passages: Iterable[Passage], kinds: Collection[SpanKind] = frozenset(SpanKind)
) -> Iterator[str]:
    """What stands in the spans of these kinds, casefolded."""
    for passage in passages:
        text = passage.text.reveal()
        yield from (text[s.start : s.end].casefold() for s in passage.spans if s.kind in kinds)


def assess(
    model: LanguageModel,
    model_sha256: str,
    trial: Trial,
    attacks: Mapping[str, Attack],
    progress: Callable[[int, int], None] | None = None,
    *,
    references: Sequence[LanguageModel] = (),
    original: LanguageModel | None = None,
    retrained: LanguageModel | None = None,
) -> Assessment:
    """Run every attack and the utility measures on one model; each text passes through it once.

    What the attacks draw comes from the trial's seed, which the policy commitment fixes, and the model's digest, so
    that nobody can look for a lucky draw.

    Args:
        model: the model to attack.
        model_sha256: its digest.
        trial: whom to ask about, and what else attacks may use.
        attacks: by name.
        progress: called with (attacks done, attacks).
        references: models that never saw the person, for the attacks that compare.
        original: the model before anything was done, for the attacks that start from it.
        retrained: the same model trained again without the person, for those that need it.
    """
    started = time.monotonic()
    target = Target(
        model,
        seed=attack_seed(trial.corpus.seed, model_sha256),
        neighbours=trial.corpus.neighbours,
        ordinary=trial.corpus.ordinary,
        references=references,
        original=original,
        retrained=retrained,
    )
    target.scores([*trial.members, *trial.controls, *trial.others, *trial.retained])
    results: list[AttackResult] = []
    for done, (name, attack) in enumerate(attacks.items(), start=1):
        results.append(_result(name, attack, target, trial))
        if progress is not None:
            progress(done, len(attacks))
    utility = Utility(
        perplexity(target, trial.retained),
        Extraction((0,)).rate(target, trial.others),
        measures(target, trial.members, trial.others, trial.retained, trial.groups),
    )
    seconds = time.monotonic() - started
    silent = model.kind is Kind.CLASSIFIER
    return Assessment(model_sha256, tuple(results), utility, seconds, shape_sha256(model), silent)


def _result(name: str, attack: Attack, target: Target, trial: Trial) -> AttackResult:
    """What the attack found; without a score where it does not apply, which no verdict takes for a pass."""
    try:
        return attack.run(target, trial.members, trial.controls)
    except RequestRejected as error:
        if error.code is not Code.ATTACK_INAPPLICABLE:
            raise
        return AttackResult(name, ())


def attack_seed(seed: int, model_sha256: str) -> int:
    """The seed of the attacks on one model: 31 bits of SHA-256 over the committed seed and the model's digest."""
    digest = hashlib.sha256(f"{seed}:{model_sha256}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def shape_sha256(model: LanguageModel) -> str:
    """SHA-256 over names and shapes of the weights, sorted, and over how the tokenizer cuts and numbers text.

    The attacks ask in the tokens of the model as it was: a result that reads others would be asked for nothing.
    """
    lines = sorted(f"{n} {list(t.shape)}\n" for n, t in model.network.state_dict().items())
    words: dict[str, object] = {"words": model.tokenizer.get_vocab()}
    if model.tokenizer.is_fast:
        told = json.loads(model.tokenizer.backend_tokenizer.to_str())
        words |= {part: told.get(part) for part in ("normalizer", "pre_tokenizer", "model")}
    return hashlib.sha256("".join([*lines, json.dumps(words, sort_keys=True)]).encode()).hexdigest()
