"""Python as it is on a GPU machine that has torch, transformers and peft, and nothing else of what Lethe uses."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
ABSENT = (
    *("prefect", "mlflow", "presidio_analyzer", "sqlalchemy", "pydantic", "spacy", "rich", "typer"),
    *("phonenumbers", "rapidfuzz", "pyarrow", "cryptography", "jinja2", "matplotlib", "flows"),
    *("detectors", "reports"),
)
_WITHOUT = f"""
import sys
class Without:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        absent = name.split(".")[0] in {ABSENT!r}
        return None if absent else self.finder.find_spec(name, path, target)
    def __getattr__(self, name):
        return getattr(self.finder, name)
sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
assert not set(sys.modules) & set({ABSENT!r})
"""


def python(
    program: str, *arguments: object, folder: Path = ROOT, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a program, on the CPU, in a process in which everything such a machine lacks cannot be imported."""
    return subprocess.run(
        [sys.executable, "-c", _WITHOUT + program, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT), **environment},
        check=False,
        capture_output=True,
        text=True,
    )
