"""The signed bundles that lie in the home folder, one for each run, and how one leaves it."""

import hashlib
import shutil
from pathlib import Path

from domain.errors import Code, RequestRejected, Unavailable
from flows.bench import Stores
from reports import keys, verify


def export(stores: Stores, ref: str, out: Path) -> str:
    """Write the bundle of the request's last run to `out`, once it verifies, and return its SHA-256."""
    zipped = latest_bundle(stores.settings.home, ref)
    public = stores.settings.signing_key_file.with_name(keys.PUBLIC_NAME)
    pinned = public.read_bytes() if public.is_file() else None
    verify.verify(zipped, pinned)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        partial = out.with_name(out.name + ".partial")
        shutil.copyfile(zipped, partial)
        partial.replace(out)
    except OSError:
        raise Unavailable(
            Code.DISK, place=str(out), remedy="it could not be written; check path and free space."
        ) from None
    return hashlib.sha256(out.read_bytes()).hexdigest()


def latest_bundle(home: Path, ref: str) -> Path:
    """The zip of the request's last run. Raises `RequestRejected` (EVIDENCE_MISSING)."""
    found = sorted(
        (home / "evidence" / ref).glob("run-*.zip"), key=lambda p: int(p.stem.rpartition("-")[2])
    )
    if not found:
        raise RequestRejected(
            Code.EVIDENCE_MISSING,
            request_ref=ref,
            place=f"request {ref}",
            remedy=f"there is no evidence yet; run: lethe erase {ref}",
        )
    return found[-1]
