"""The redacted copies of one corpus: each is made from the one before, so the newest lacks everybody erased so far.

`current` in the corpus' folder is a link to the newest; that is what the next training run reads. Older copies hold
people who were erased later, and are removed once the new one is in its place.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from domain.errors import Code, RequestRejected, Unavailable

CURRENT = "current"


@dataclass(frozen=True, slots=True)
class Copies:
    """The folder of one corpus' copies."""

    folder: Path

    def current(self) -> Path | None:
        """The newest copy, or None before the first."""
        link = self.folder / CURRENT
        return link.resolve() if link.is_dir() else None

    def free(self, ref: str) -> Path:
        """Where the copy of this request goes: its reference, with a number from its second copy on."""
        self.folder.mkdir(parents=True, exist_ok=True)
        at, taken = self.folder / ref, self.current()
        number = 2
        while at == taken:
            at, number = self.folder / f"{ref}-{number}", number + 1
        shutil.rmtree(at, ignore_errors=True)  # of a run that stopped before it switched
        return at

    def switch(self, to: Path) -> None:
        """Let `current` point to a finished copy, at once, and remove the older ones."""
        fresh = self.folder / f".{CURRENT}"
        try:
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(to.name)
            fresh.replace(self.folder / CURRENT)
            for old in self.folder.iterdir():
                if old.is_dir() and not old.is_symlink() and old != to:
                    shutil.rmtree(old)
        except OSError:
            raise Unavailable(
                Code.DISK,
                place=f"the redacted copies of {self.folder.name}",
                remedy="the folder could not be written; check permissions and free space.",
            ) from None


def require_same_shape(
    corpus: str, original: tuple[int, set[str]], copy: tuple[int, set[str]]
) -> None:
    """Raise `RequestRejected` (CORPUS_CORRUPT) when documents or files were added since the last copy.

    The copy would silently lack them, and a fresh one from the original would bring back who was erased before.
    """
    if original != copy:
        raise RequestRejected(
            Code.CORPUS_CORRUPT,
            place=f"corpus {corpus}",
            remedy="it has other files or rows than its last redacted copy; add the new ones to the copy, and name "
            "the copy as the corpus in the catalog.",
        )
