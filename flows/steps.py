"""What makes a function a step of the flow: a Prefect task that lets no personal data out.

Prefect stores the text of an exception, its chain and every log line in clear. A step therefore raises `ErasureError`
only, whose text is a code and a reference; everything else is turned into one here, without its text and its chain. No
result is persisted and no input is hashed for a cache.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, NoReturn, ParamSpec, TypeVar, cast

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.utilities.annotations import quote

from domain.errors import Code, ErasureError, Unavailable
from domain.log import log
from flows import progress
from flows.unexpected import where

Given = ParamSpec("Given")
Result = TypeVar("Result")
Value = TypeVar("Value")

RETRY_SECONDS = (1.0, 5.0)
"""A service that did not answer gets two more chances; a held lease or a full disk does not go away in seconds."""


_AWAY = frozenset({Code.DATABASE, Code.TRACKING, Code.CLUSTER})


def step(
    name: str, broken: type[ErasureError]
) -> Callable[[Callable[Given, Result]], Task[Given, Result]]:
    """Make a task of a function. An unexpected exception in it leaves as `broken` with the code UNEXPECTED."""

    def wrap(body: Callable[Given, Result]) -> Task[Given, Result]:
        @task(
            name=name,
            persist_result=False,
            cache_policy=NO_CACHE,
            log_prints=False,
            retries=len(RETRY_SECONDS),
            retry_delay_seconds=list(RETRY_SECONDS),
            retry_condition_fn=_did_not_answer,
        )
        @wraps(body)
        def run(*args: Given.args, **kwargs: Given.kwargs) -> Result:
            log("step_started", step=name)
            progress.advance(name)
            return shielded(body, name, broken)(*args, **kwargs)

        return run

    return wrap


def unseen(value: Value) -> Value:
    """An argument for a step that Prefect hands on as it is, without looking for futures in it."""
    return cast("Value", quote(value))


def shielded(
    body: Callable[Given, Result], name: str, broken: type[ErasureError]
) -> Callable[Given, Result]:
    """`body`, out of which nothing but `ErasureError` without a chain can come."""

    @wraps(body)
    def run(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        try:
            return body(*args, **kwargs)
        except ErasureError as error:
            _leave(error)
        except Exception as error:  # noqa: BLE001  whatever it is, its text must not leave
            log("step_broke", step=name, value=type(error).__name__)
            _leave(
                broken(
                    Code.UNEXPECTED,
                    place=f"step {name}, {where(error)}",
                    remedy=f"an unexpected {type(error).__name__} stopped it; run `lethe doctor`, then run again.",
                )
            )

    return run


def _leave(error: ErasureError) -> NoReturn:
    """Raise `error` without the frames and the causes below it."""
    error.__cause__ = error.__context__ = None
    raise error.with_traceback(None) from None


def _did_not_answer(_: Task[Any, Any], __: TaskRun, state: State[Any]) -> bool:
    error = state.result(raise_on_failure=False)
    return isinstance(error, Unavailable) and error.code in _AWAY
