"""The door to other processes: a pool of them on this machine, or the workers of a Dask cluster."""

import logging
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Future, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import urlsplit

from detectors.endpoint import is_here
from domain.errors import Code, DetectionFailed, RequestRejected, Unavailable

if TYPE_CHECKING:
    from distributed import Client, Security

Task = TypeVar("Task")
Result = TypeVar("Result")

_DEATHS = 3  # of workers one after the other, over one task: as many as Dask's scheduler allows
_AHEAD = 2  # tasks for each worker that are handed out before their results are taken
_PATIENCE = 60.0  # seconds that a cluster may be without any worker
_LOOK = 1.0  # seconds between two looks at whether it is
_ANSWER = 30  # seconds in which a scheduler must answer


@dataclass(frozen=True)
class Hands:
    """Who does the work.

    Args:
        workers: processes on this machine; 1 for this one alone.
        scheduler: address of a Dask scheduler whose workers do it instead; empty for none.

    """

    workers: int = 1
    scheduler: str = ""

    @property
    def alone(self) -> bool:
        return self.workers == 1 and not self.scheduler


class Crew(Protocol):
    """Processes that work."""

    def room(self) -> int:
        """How many tasks may be handed out at once."""
        ...

    def submit(self, work: Callable[[Any], Any], task: Any) -> Any:
        """A future."""
        ...

    def result(self, future: Any) -> Any:
        """Of a future. Raises `BrokenExecutor` where a worker died, and `renew` is to be called."""
        ...

    def renew(self) -> None:
        """Begin again with other processes."""
        ...


def in_order(
    crew: Crew, work: Callable[[Task], Result], tasks: Iterable[Task]
) -> Iterator[tuple[Task, Result]]:
    """Every task with its result, in order, while some more are under way; a task whose worker died is done again.

    What travels is `work` by its name, the tasks and the results, and nothing else.

    Raises `DetectionFailed` when workers die over one task again and again, `Unavailable` when the cluster is gone.
    """
    left, under_way, died = iter(tasks), deque[list[Any]](), 0
    while True:
        free = max(0 if under_way else 1, crew.room() - len(under_way))
        under_way.extend([task, None] for task in islice(left, free))
        if not under_way:
            return
        try:
            for entry in under_way:
                entry[1] = entry[1] or crew.submit(work, entry[0])
            result = crew.result(under_way[0][1])
        except BrokenExecutor:
            died += 1
            if died == _DEATHS:
                raise _died() from None
            crew.renew()
            for entry in under_way:
                entry[1] = entry[1] if _is_done(entry[1]) else None
            continue
        died = 0
        yield under_way.popleft()[0], result


def _is_done(future: Future[Any] | None) -> bool:
    return future is not None and future.done() and future.exception() is None


@contextmanager
def crew(hands: Hands, afterwards: Callable[[], None]) -> Iterator[Crew]:
    """The processes, gone at the end; those of a cluster stay, and call `afterwards`.

    Raises `RequestRejected` (SETTING_INVALID) for a scheduler that is elsewhere and would be spoken to in clear,
    `Unavailable` when it does not answer.
    """
    if not hands.scheduler:
        pool = _Pool(hands.workers)
        try:
            yield pool
        finally:
            pool.close()
        return
    client = _client(hands.scheduler)
    try:
        yield _Cluster(client)
    finally:
        with suppress(Exception):  # whoever is gone has nothing left to let go of
            if client.status == "running":
                client.run(afterwards, on_error="ignore")
            client.close()


class _Pool:
    """Processes of this machine. One that dies takes the others along, and so does the end of this one."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._spawn = multiprocessing.get_context("spawn")
        self._end, self._ours = self._spawn.Pipe(duplex=False)
        self._pool = self._new()

    def _new(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(self._workers, self._spawn, _attend, (self._end,))

    def room(self) -> int:
        return _AHEAD * self._workers

    def submit(self, work: Callable[[Any], Any], task: Any) -> Future[Any]:
        return self._pool.submit(work, task)

    def result(self, future: Future[Any]) -> Any:
        return future.result()

    def renew(self) -> None:
        self._pool.shutdown()
        self._pool = self._new()

    def close(self) -> None:
        """Nobody waits for what is under way."""
        self._ours.close()
        self._pool.shutdown(cancel_futures=True)
        self._end.close()


def _attend(end: Connection) -> None:
    """Begin a worker, which ends when nobody holds the other side of the pipe any more."""
    # the first process decides what an interruption means
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(end,), daemon=True).start()


def _end_with(other: Connection) -> None:
    with suppress(EOFError, OSError):
        other.recv()
    os._exit(1)


class _Cluster:
    """The workers of a Dask cluster; a task whose worker died is given to another one by its scheduler."""

    def __init__(self, client: "Client") -> None:
        self._client = client

    def room(self) -> int:
        with _answering():
            return _AHEAD * max(1, self._threads())

    def submit(self, work: Callable[[Any], Any], task: Any) -> Any:
        with _answering():
            return self._client.submit(work, task, pure=False)

    def result(self, future: Any) -> Any:
        seen = time.monotonic()
        while True:
            with _answering():
                try:
                    return future.result(timeout=_LOOK)
                except TimeoutError:
                    now = time.monotonic()
                    seen = now if self._threads() else seen
            if now - seen > _PATIENCE:
                raise _unavailable("it has no worker; start some, and search again")

    def renew(self) -> None:
        """Nothing: its scheduler has others, and `result` says when it has none."""

    def _threads(self) -> int:
        if self._client.status != "running":
            raise ConnectionError("the scheduler is gone")
        return sum(self._client.nthreads().values())


def _client(address: str) -> "Client":
    """A connection to the scheduler, which is checked before anybody is spoken to."""
    check_scheduler(address)
    from distributed import Client

    logging.getLogger("distributed").handlers = [logging.NullHandler()]
    with _answering():
        return Client(address, security=_security(address), timeout=_ANSWER, set_as_default=False)


def check_scheduler(address: str) -> None:
    """Refuse every address but this machine's own, and an encrypted one elsewhere.

    Raises `RequestRejected` (SETTING_INVALID).
    """
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or not port or parts.scheme not in {"tcp", "tls"}:
        raise _refused("it is no address; write one like tls://host:8786")
    if parts.scheme == "tcp" and not is_here(host):
        raise _refused("another machine is spoken to only encrypted; write tls://")


def _security(address: str) -> "Security | None":
    """The certificates that Dask's own configuration names."""
    if not address.startswith("tls:"):
        return None
    from distributed import Security

    security = Security(require_encryption=True)
    if security.get_connection_args("client").get("ssl_context") is None:
        raise _refused("name its certificates in Dask's configuration, distributed.comm.tls")
    return security


@contextmanager
def _answering() -> Iterator[None]:
    """What Dask raises, as one of our errors and without its words."""
    from distributed import KilledWorker

    try:
        yield
    except KilledWorker:
        raise _died() from None
    except (OSError, TimeoutError, CancelledError):
        raise _unavailable("it does not answer, or broke off; start it, and search again") from None
    except (RequestRejected, DetectionFailed, Unavailable):
        raise
    except Exception as error:  # noqa: BLE001  its text is not ours
        raise DetectionFailed(
            Code.WORKER_FAILED,
            place="the cluster's workers",
            remedy=f"unexpected {type(error).__name__}; see that Lethe is installed there as it is here",
        ) from None


def _died() -> DetectionFailed:
    return DetectionFailed(
        Code.WORKER_FAILED,
        place="the workers",
        remedy=f"{_DEATHS} of them died over one part of the corpus; give them more memory, and search again",
    )


def _unavailable(remedy: str) -> Unavailable:
    return Unavailable(Code.CLUSTER, place="the Dask scheduler of LETHE_SCHEDULER", remedy=remedy)


def _refused(remedy: str) -> RequestRejected:
    return RequestRejected(Code.SETTING_INVALID, place="LETHE_SCHEDULER", remedy=remedy)
