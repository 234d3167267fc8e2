"""How the suite is shared between two processes: a room whose tests share a trained model stays in one of them."""

import os
from pathlib import Path

import pytest

TOGETHER = ("integration", "unlearning")


def pytest_configure(config: pytest.Config) -> None:
    """Each of several processes computes on its share of the cores; threads of both would wait for each other."""
    if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")) - 1:
        os.environ.setdefault(
            "OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // (workers + 1)))
        )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        room = Path(item.path).parent.name
        if room in TOGETHER:
            item.add_marker(pytest.mark.xdist_group(room))
