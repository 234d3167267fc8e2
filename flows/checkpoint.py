"""What a run has done so far, so that one that stopped can go on: numbers, digests, signed envelopes, paths of models.

It rests in the vault under the request's key. A run goes on from it only when nothing it stands on has changed (see
`erasure`); otherwise a new run begins, with a policy commitment of its own.
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from domain.outcomes import Assessment, Attempt, FileDigest, ModelErasure, Outcome
from flows.vault import Vault

KIND = "checkpoint"


class ModelProgress(BaseModel):
    """How far one model is. `outcome` is None until it is decided."""

    model_config = ConfigDict(ser_json_inf_nan="constants")

    path: Path
    before_sha256: str
    before: Assessment | None = None
    asked: str = ""  # commitment to the trial that `before` was measured on
    attempts: tuple[Attempt, ...] = ()
    outcome: Outcome | None = None
    reason: str = ""
    candidate: Path | None = None  # the one that passed
    files: tuple[FileDigest, ...] = ()
    after_sha256: str = ""
    version: str = ""  # empty until it is promoted
    served: tuple[Path, ...] = ()  # what this run has put in production

    def erasure(self, name: str) -> ModelErasure:
        """The record for the evidence. Raises `ValueError` while the outcome is open."""
        if self.outcome is None:
            raise ValueError("the model's outcome is still open")
        return ModelErasure(
            name,
            self.before_sha256,
            self.before,
            self.attempts,
            self.outcome,
            self.reason,
            self.after_sha256,
            self.files,
            self.version,
        )


class Checkpoint(BaseModel):
    """One run: its commitment and what was measured under it."""

    model_config = ConfigDict(ser_json_inf_nan="constants")

    run: int
    policy_sha256: str
    committed_at: str
    seed: int
    envelopes: dict[str, str] = {}
    models: dict[str, ModelProgress] = {}

    def save(self, vault: Vault, ref: str) -> None:
        """Write it in place of the last one."""
        vault.put(ref, KIND, self.model_dump_json().encode())


def load_checkpoint(vault: Vault, ref: str) -> Checkpoint | None:
    """The last one that was saved, or None."""
    content = vault.get(ref, KIND)
    return None if content is None else Checkpoint.model_validate_json(content)
