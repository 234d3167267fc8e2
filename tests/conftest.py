"""How the suite is shared between two processes: tests that share a world or a trained model stay in one of them."""

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile("shared cores", deadline=None)  # a slow moment is no failure
hypothesis.settings.load_profile("shared cores")


def pytest_configure(config: pytest.Config) -> None:
    """Each of several processes computes on its share of the cores; threads of both would wait for each other."""
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))


@pytest.hookimpl(wrapper=True, tryfirst=True)  # the groups before xdist reads them, the order last
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    for item in items:
        path = Path(item.path)
        if _integration(item):  # one erasure, which takes a minute, serves all who ask for it
            shared = "world" in getattr(item, "fixturenames", ())
            item.add_marker(pytest.mark.xdist_group("integration" if shared else path.name))
        if path.parent.name in {"unlearning", "benchmark"}:  # each process trains a victim once
            item.add_marker(pytest.mark.xdist_group(path.name))
    yield
    items.sort(key=lambda item: not _integration(item))  # the longest group starts first


def _integration(item: pytest.Item) -> bool:
    return Path(item.path).parent.name == "integration"
