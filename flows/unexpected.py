"""What may be said about an exception nobody foresaw: its type and our line, never its text."""

import traceback
from pathlib import Path

_ROOT = Path(__file__).parents[1]


def where(error: BaseException) -> str:
    """The innermost line of our own code that it passed: file and number."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if _is_ours(Path(f.filename))]
    last = (ours or list(frames))[-1:]
    return f"{Path(last[0].filename).name} line {last[0].lineno}" if last else "no line"


def _is_ours(path: Path) -> bool:
    return path.is_relative_to(_ROOT) and "site-packages" not in path.parts
