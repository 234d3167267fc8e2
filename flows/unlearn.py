"""Steps on the models: commit to the policy, measure, let one method after the other try (`promotion` comes after).

1. The policy, the models' digests, attacks, methods and seeds are signed before anything is measured.
2. Each attempt is written beside the model, loaded again from the disk, attacked, judged and signed, failed ones too.
3. What was made by dropping a shard is followed by an attempt that trains it again without the person.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple
from functools import partial
from pathlib import Path

import rfc8785

from domain.errors import (
    Code,
    RequestRejected,
    Unavailable,
    UnlearningFailed,
    out_of_memory,
)
from domain.lifecycle import Event
from domain.log import log
from domain.outcomes import (
    COMPLETES,
    Assessment,
    Attempt,
    Deletion,
    Outcome,
    deletion,
    until_complete,
)
from flows import build, progress
from flows.bench import Bench, now, seed_of
from flows.checkpoint import Checkpoint, ModelProgress
from flows.choose import Choice, Facts, choose
from flows.policy import MethodRule
from flows.promotion import require_digest
from flows.selection import selected
from flows.steps import step
from flows.subjects import Subjects, redacted_texts, references
from reports import bundle, dsse, statement
from unlearning import manifest, models
from unlearning.results import software
from unlearning.trial import Trial, assess, prepare
from unlearning.verdict import judge, memorised


@step("commit", broken=Unavailable)
def commit_policy(bench: Bench) -> None:
    """Begin a run: sign policy, models, attacks, methods and seed, and keep the envelope."""
    starts = {name: _in_production(bench, name) for name in bench.models}
    digests = {name: found.before_sha256 for name, found in starts.items()}
    policy = bench.policy
    bench.checkpoint = Checkpoint(
        run=bench.run,
        policy_sha256=policy.sha256(),
        committed_at=now(),
        seed=seed_of(policy.sha256(), *digests.values()),
        models=starts,
    )
    payload = statement.policy_commitment(
        bench.ref,
        policy_sha256=bench.progress.policy_sha256,
        models=digests,
        attacks=list(policy.attacks),
        methods=[rule.name for rule in policy.methods.order],
        seed=bench.progress.seed,
        committed_at=bench.progress.committed_at,
    )
    _keep_envelope(bench, bundle.COMMITMENT, payload)
    bench.stores.ledger.append(
        bench.ref,
        Event.POLICY_COMMITTED,
        {"policy_sha256": bench.progress.policy_sha256, "seed": bench.progress.seed, **digests},
    )


def _in_production(bench: Bench, name: str) -> ModelProgress:
    """The model that is in production; the catalog's one is registered when it is used for the first time."""
    tracking = bench.stores.tracking
    path = tracking.current(name)
    if path is None:
        path = bench.stores.catalog.model(name).path
        tracking.register(name, path, models.digest(path)[0], alias="production")
    return ModelProgress(path=path, before_sha256=models.digest(path)[0])


@step("measure", broken=Unavailable)
def measure_before(bench: Bench, name: str) -> None:
    """Make the trial ready and attack the model as it is. When nothing can be shown, the outcome is decided here."""
    at = bench.progress.models[name]
    model = models.load(at.path)
    require_digest(at.path, at.before_sha256, name)
    try:
        trial = _trial(bench, name, model)
    except UnlearningFailed as error:
        _decide(bench, name, Outcome.INCONCLUSIVE, error.code.value)
        return
    asked = _commitment(bench, trial)
    if at.before is None or at.asked != asked:  # since a run that stopped, texts or code may differ
        at.before = assess(
            model,
            at.before_sha256,
            trial,
            build.attacks(bench.policy),
            _reporter("measure"),
            references=references(bench, name),
            original=model,
        )
        at.asked = asked
        bench.save()
    if not memorised(at.before, build.thresholds(bench.policy)):
        _decide(bench, name, Outcome.INCONCLUSIVE, "not_memorised")
        return
    bench.trials[name] = trial


def _trial(bench: Bench, name: str, model: models.LanguageModel) -> Trial:
    """The same one for any model with this tokenizer. Raises `UnlearningFailed` as `prepare`, `DetectionFailed`."""
    at = bench.progress.models[name]
    seed = seed_of(bench.progress.policy_sha256, at.before_sha256)
    people = Subjects(bench, name, model, seed)
    return prepare(
        model,
        people.members,
        people.neighbours,
        people.ordinary,
        seed=seed,
        controls=bench.policy.comparison.controls,
        texts=partial(redacted_texts, bench, name, model),
        finds=people.finds,
        groups=people.groups,
        selected=selected(bench, name, at.path, model.kind),
    )


def _commitment(bench: Bench, trial: Trial) -> str:
    """HMAC of the texts that are asked about and of the code that asks, under the request's key."""
    groups = (trial.members, trial.controls, trial.others, trial.retained)
    texts = (json.dumps([astuple(row) for row in rows]).encode() for rows in groups)
    return bench.stores.vault.request_hmac(bench.ref, "trial", software().encode(), *texts)


def next_choice(bench: Bench, name: str, trial: Trial, kind: models.Kind) -> Choice | None:
    """The next method the policy lets in, or None when all were tried, or time is up.

    After a drop that did not pass, others may have lost too much: the same method is next, and trains the shard again.
    """
    at = bench.progress.models[name]
    facts = Facts(
        kind.value,
        manifest.kind(_places(bench, name, at.path)["shards"]),
        sum(len(row.spans) for row in trial.members),
        sum(attempt.seconds for attempt in at.attempts),
    )
    tried = frozenset(a.method for a in at.attempts)
    if dropped := _dropped(at):
        tried -= {dropped.method}
    chosen = choose(bench.policy, facts, tried)
    again = [c.rule for c in chosen if dropped and c.rule.name == dropped.method]
    return _whole(again[0]) if again else next(iter(chosen), None)


def _dropped(at: ModelProgress) -> Attempt | None:
    """The last attempt, where it only dropped a shard."""
    last = at.attempts[-1] if at.attempts else None
    return last if last and last.trace and last.trace.stopped == "dropped" else None


def _whole(rule: MethodRule) -> Choice:
    """The method that trains again what it had only dropped."""
    options = {**rule.options, "instant": False}
    return Choice(rule.model_copy(update={"options": options}), COMPLETES)


@step("unlearn", broken=UnlearningFailed)
def try_methods(bench: Bench, name: str) -> None:
    """One method after the other until one passes; the model's outcome is decided at the end."""
    at, trial = bench.progress.models[name], bench.trials[name]
    model = models.load(at.path)
    while at.outcome is None:
        choice = next_choice(bench, name, trial, model.kind)
        if choice is None:
            verdicts = [a.verdict.outcome for a in at.attempts if a.verdict is not None]
            unclear = bool(verdicts) and all(v is Outcome.INCONCLUSIVE for v in verdicts)
            reason = "no_method_left" if at.attempts else "no_method_applies"
            _decide(bench, name, Outcome.INCONCLUSIVE if unclear else Outcome.FAIL, reason)
            return
        bench.leases.assert_held(bench.held[f"model/{name}"])
        _attempt(bench, name, trial, choice, model)


@step("complete", broken=UnlearningFailed)
def complete(bench: Bench, name: str) -> None:
    """Train again, without the person, the shard whose drop is in service; what does not pass changes nothing.

    From the model that still had the shard: the drop keeps nothing that one could go on from.
    """
    at, trial = bench.progress.models[name], bench.trials.pop(name, None)
    dropped = _dropped(at)
    if at.candidate is None or dropped is None or not at.version:
        return
    bench.leases.assert_held(bench.held[f"model/{name}"])
    rule = next(rule for rule in bench.policy.methods.order if rule.name == dropped.method)
    model = models.load(at.path)
    trial = trial or _trial(bench, name, model)
    _attempt(bench, name, trial, _whole(rule), model)


def _attempt(
    bench: Bench, name: str, trial: Trial, choice: Choice, model: models.LanguageModel
) -> None:
    """Let one method try on the model in production before the run; sign how it went, and decide when it passed."""
    at, started = bench.progress.models[name], time.monotonic()
    number, method = len(at.attempts) + 1, choice.rule.name
    folder = bench.paths.candidate(name, number, method)
    shutil.rmtree(folder, ignore_errors=True)  # of a run that stopped
    options = hashlib.sha256(rfc8785.dumps(choice.rule.options)).hexdigest()
    progress.advance(f"unlearn {method}")
    log("attempt_started", request=bench.ref, model=name, method=method, number=number)
    trace = after = verdict = None
    made, error = folder, ""
    try:
        places = _places(bench, name, at.path)
        unlearned = build.method(choice.rule, places).unlearn(model, trial.corpus)
        trace = unlearned.trace
        made = unlearned.save(folder)
        attacks = build.attacks(bench.policy)
        with candidates_fault():
            candidate = models.load(made)
            after = assess(
                candidate,
                models.digest(made)[0],
                trial,
                attacks,
                _reporter(f"attack {method}"),
                references=references(bench, name),
                original=model,
            )
        verdict = judge(
            _before(at),
            after,
            build.thresholds(bench.policy),
            required=bench.policy.attacks,
            attempt=number,
            suppressed=trace.deletion is Deletion.SUPPRESSION
            and not bench.policy.methods.suppression,
        )
    except UnlearningFailed as failed:
        error = failed.code.value
    except (MemoryError, RuntimeError) as failed:
        if not out_of_memory(failed):
            raise
        error = Code.OUT_OF_MEMORY.value
    seconds = time.monotonic() - started
    attempt = Attempt(number, method, options, choice.reason, seconds, error, trace, after, verdict)
    at.attempts = (*at.attempts, attempt)
    passed = verdict is not None and verdict.outcome is Outcome.PASS
    if passed and after is not None:
        at.candidate, at.after_sha256, at.version = made, after.model_sha256, ""
        at.files = models.digest(made)[1]
        at.outcome, at.reason = Outcome.PASS, "passed"
    else:
        shutil.rmtree(folder, ignore_errors=True)
    _record_attempt(bench, name, attempt)


def _places(bench: Bench, name: str, model: Path) -> dict[str, Path | None]:
    """Where the shards of a model are, and the key they were made with."""
    settings = bench.stores.settings
    named = bench.stores.catalog.model(name).shards
    return {"shards": bench.paths.shards(model, named), "key": settings.shard_key_file}


def _record_attempt(bench: Bench, name: str, attempt: Attempt) -> None:
    """Sign the attempt, keep the envelope, and write the event."""
    at = bench.progress.models[name]
    payload = statement.verification(
        bench.ref,
        model=name,
        before_sha256=at.before_sha256,
        before=at.before,
        attempt=attempt,
        commitment_sha256=_sha256(bench.progress.envelopes[bundle.COMMITMENT]),
        measured_at=now(),
    )
    done = sum(len(model.attempts) for model in bench.progress.models.values())
    _keep_envelope(bench, bundle.verification_name(done), payload)
    outcome = attempt.verdict.outcome if attempt.verdict else Outcome.NOT_RUN
    expected = until_complete(attempt)
    bench.stores.ledger.append(
        bench.ref,
        Event.ATTEMPTED,
        {
            "model": name,
            "number": attempt.number,
            "method": attempt.method,
            "outcome": outcome.value,
            "error": attempt.error,
            "hindered_by": list(attempt.verdict.hindered_by) if attempt.verdict else [],
            "deletion": deletion(attempt.trace),
            "seconds": round(attempt.seconds, 3),
            **({} if expected is None else {"retrain_estimated": round(expected, 3)}),
        },
    )
    log(
        "attempt_ended",
        request=bench.ref,
        model=name,
        method=attempt.method,
        outcome=outcome.value,
        code=attempt.error,
    )


def _decide(bench: Bench, name: str, outcome: Outcome, reason: str) -> None:
    at = bench.progress.models[name]
    at.outcome, at.reason = outcome, reason
    bench.save()
    log("model_decided", request=bench.ref, model=name, outcome=outcome.value, code=reason)


def _keep_envelope(bench: Bench, name: str, payload: bytes) -> None:
    bench.progress.envelopes[name] = dsse.sign(payload, bench.signing_key).decode()
    bench.save()


@contextmanager
def candidates_fault() -> Iterator[None]:
    """A candidate that cannot be loaded or measured is a failed attempt, not a bad request: the next method tries.

    Raises `UnlearningFailed` for `RequestRejected`: the model it was made of was loaded and measured before.
    """
    try:
        yield
    except RequestRejected as error:
        raise UnlearningFailed(error.code, place=error.place, remedy=error.remedy) from None


def _before(at: ModelProgress) -> Assessment:
    """Raises `ValueError` when nothing was measured before: there is then nothing to judge by."""
    if at.before is None:
        raise ValueError("no method is tried before the model was measured")
    return at.before


def _reporter(name: str) -> Callable[[int, int], None]:
    return lambda done, total: progress.advance(name, done, total)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
