"""Exact deletion: shards that held the person are left out, or trained again without, and all are added up anew.

After SISA (Bourtoule et al. 2021), on shards that are adapters or whole, for models that `train` made. What comes out
is not like a model that never saw the person: it is that model (`sharded` says of which training). No other method is
exact, so the policy tries this one first where there is a manifest.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from domain.errors import Code, RequestRejected, UnlearningFailed
from domain.outcomes import RETRAIN_ESTIMATED, Deletion, Trace
from domain.records import Passage
from unlearning.assignment import Key, load_key
from unlearning.corpus import Corpus
from unlearning.deltas import learnt, weights_sha256
from unlearning.manifest import Manifest, read
from unlearning.models import LanguageModel, same_answers
from unlearning.sharded import Work, complete, drop, load_base, recombine, require_key
from unlearning.tuning import require_least, secret_nll, stranger_nll
from unlearning.unlearned import Clock, Unlearned, require_finite_weights

_SHOWN = 100  # losses in the trace


@dataclass(frozen=True, kw_only=True)
class Sisa:
    """Drop the person's shards and train them again without the person.

    A shard that holds nobody else is left out for good. Documents of several people are left out as a whole; so are,
    from a shard that is trained again, those out of which somebody was taken in the corpus and not in the shards.

    Attributes:
        shards: folder with the manifest of the model.
        key: file of the key by which the manifest knows documents again; only `instant` does without, and then takes it
            on trust that the rows are in their place.
        base: where the base is now, if not where the manifest says.
        instant: only drop, in seconds; what is left of the dropped shards waits to be trained again. Where no other
            shard is left to be served, they are trained again at once.
        clean: the base counts as clean when its nll of the person's secrets is at least this share of its nll of
            strangers' secrets; below one half, because a clean base may have read such names and places elsewhere and
            not the made-up ones. One that knows the person cannot be left behind by any deletion of shards.
        budget_seconds: wall clock it may take.
    """

    shards: str = ""
    key: str = ""
    base: str = ""
    instant: bool = False
    clean: float = 0.35
    budget_seconds: float = 3600.0

    def __post_init__(self) -> None:
        require_least(self, clean=0, budget_seconds=0)

    def unlearn(self, model: LanguageModel, corpus: Corpus) -> Unlearned:
        """Return the model without the person, and its manifest.

        Raises `UnlearningFailed`: METHOD_INAPPLICABLE without a fitting manifest, key, base or corpus, or when the
        documents are not in the shards; DIGEST_MISMATCH when weights are not those that the manifest names;
        BASE_KNOWS_PERSON; METHOD_OVER_BUDGET; METHOD_DIVERGED.
        """
        corpus.require_spans()
        clock = Clock("sisa", self.budget_seconds)
        clock.require_time()
        manifest = read(self.shards)
        _require_served(manifest, model)
        changed = _changed(manifest, corpus)
        key = self._key() if self.key or not self.instant else None
        if key is not None:
            _require_in_place(manifest, corpus, key)
        base = load_base(manifest, model.device.type, self.base)
        if not same_answers(base, model):
            raise UnlearningFailed(
                Code.DIGEST_MISMATCH,
                place="the base of the shards",
                remedy="its tokens or classes are not those of the model in service; restore its tokenizer.",
            )
        level, known = self._require_clean(base, corpus)
        left, work = drop(manifest, corpus.references), Work({}, ())
        if key is not None and not (self.instant and any(s.files for s in left.shards)):
            texts = _texts(corpus)
            left = drop(left, _redacted(left, texts, key))
            left, work = complete(
                left, base, texts, key, earlier=manifest, alive=clock.require_time
            )
        left, after = recombine(left, base)
        require_finite_weights("sisa", after)
        facts = {
            "shards": float(len(left.shards)),
            "shards_changed": float(len(changed)),
            "shards_emptied": float(sum(not left.shards[n].documents for n in changed)),
            "shards_due": float(len(left.due)),
            "steps_due": float(left.steps_due),
            "documents_left_out": float(len(left.dropped) - len(manifest.dropped)),
            "backward_passes": float(sum(work.steps.values())),
            "base_secret_nll": level,
            "base_stranger_nll": known,
            "same_software": float(
                all(version(name) == was for name, was in manifest.recipe.software.items())
            ),
        }
        if left.due and left.seconds_per_step is not None:
            facts[RETRAIN_ESTIMATED] = left.steps_due * left.seconds_per_step
        rows = tuple({"loss": x} for x in work.losses[:: 1 + len(work.losses) // _SHOWN])
        trace = Trace(
            "sisa",
            rows or ({"shards_due": facts["shards_due"]},),
            "dropped" if left.due else "steps",
            clock.seconds,
            facts,
            _digests(left),
            deletion=Deletion.EXACT,
        )
        return Unlearned(after, trace, left)

    def _key(self) -> Key:
        try:
            return load_key(Path(self.key))
        except RequestRejected as error:
            raise UnlearningFailed(
                Code.METHOD_INAPPLICABLE, place="method sisa, option key", remedy=error.remedy
            ) from error

    def _require_clean(self, base: LanguageModel, corpus: Corpus) -> tuple[float, float]:
        """The base's nll, in nats per token, of the person's secrets and of strangers'."""
        if not corpus.controls:
            raise UnlearningFailed(
                Code.NO_CONTROLS,
                place="people never seen",
                remedy="without them nobody can tell whether the base knows the person; raise comparison.controls.",
            )
        level, known = secret_nll(base, corpus.forget, corpus.seed), stranger_nll(base, corpus)
        if not level >= self.clean * known:
            raise UnlearningFailed(
                Code.BASE_KNOWS_PERSON,
                place="the base of the shards",
                remedy="it knows this person, who is not in the shards alone, so deleting shards would not be exact. "
                "Train shards on a clean base; until then another method is tried, which is approximate.",
            )
        return level, known


def _require_served(manifest: Manifest, model: LanguageModel) -> None:
    if weights_sha256(model.network) != manifest.combined_sha256:
        raise UnlearningFailed(
            Code.DIGEST_MISMATCH,
            place="the manifest of the shards",
            remedy="the model is not the one that was made of them: it was changed since, or another is in service.",
        )


def _changed(manifest: Manifest, corpus: Corpus) -> tuple[int, ...]:
    """The shards that hold the person, and those that wait to be trained again."""
    known = manifest.dropped.union(*(shard.references for shard in manifest.shards))
    if unknown := corpus.references - known:
        raise UnlearningFailed(
            Code.METHOD_INAPPLICABLE,
            place="the manifest of the shards",
            remedy=f"{len(unknown)} of the person's documents are in no shard; the model was trained on another "
            "corpus, or rows were moved since.",
        )
    changed = sorted({*manifest.holding(corpus.references), *manifest.due})
    if not changed:
        raise UnlearningFailed(
            Code.METHOD_INAPPLICABLE,
            place="the manifest of the shards",
            remedy="no shard holds this person any more; there is nothing to take out.",
        )
    return tuple(changed)


def _require_in_place(manifest: Manifest, corpus: Corpus, key: Key) -> None:
    """Rows that changed places would have somebody else taken out, and leave the person in a shard."""
    require_key(manifest, key)
    tags = {h.reference: h.tag for shard in manifest.shards for h in shard.documents}
    if any(key.tag(p.text.reveal()) != tags[p.ref] for p in corpus.originals if p.ref in tags):
        raise UnlearningFailed(
            Code.METHOD_INAPPLICABLE,
            place="the person's documents",
            remedy="some are not what the shards were trained on; name the corpus as it was, with its rows in the same "
            "place.",
        )


def _texts(corpus: Corpus) -> dict[str, str]:
    """The documents at hand by reference."""
    passages = [lesson for lesson in corpus.texts() if isinstance(lesson, Passage)]
    texts = {passage.ref: passage.text.reveal() for passage in passages}
    if len(texts) < len(passages):
        raise UnlearningFailed(
            Code.METHOD_INAPPLICABLE,
            place="the corpora of the model",
            remedy="two of them have files of the same name, so that documents cannot be told apart; rename one.",
        )
    return texts


def _redacted(manifest: Manifest, texts: Mapping[str, str], key: Key) -> frozenset[str]:
    """Documents of the shards that are due which nobody learnt as they are now: they lost somebody to an erasure since.

    It took another way, or did not pass, so that the shard kept them. They are left out as a whole, too. What another
    document says was moved, and is refused with what is missing.
    """
    known = {h.tag for shard in manifest.shards for h in shard.documents}
    due = [h for number in manifest.due for h in manifest.shards[number].documents]
    return frozenset(
        h.reference
        for h in due
        if h.reference in texts and key.tag(texts[h.reference]) not in known
    )


def _digests(manifest: Manifest) -> Mapping[str, str]:
    """Of the shards, the base and the weights: enough to make the model again from its parts, and to compare."""
    shards = {
        f"shard_{n}": learnt(shard.digests())
        for n, shard in enumerate(manifest.shards)
        if shard.files
    }
    return shards | {"base": manifest.base_sha256, "combined": manifest.combined_sha256}
