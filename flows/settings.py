"""Where things are on this machine: environment variables LETHE_*, and nothing else."""

import os
from pathlib import Path

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from domain.errors import Code, RequestRejected

PREFIX = "LETHE_"


class Settings(BaseSettings):
    """Paths and URLs.

    `home` holds everything Lethe writes: keys, the database, redacted corpora, candidates, evidence. Others lie in it
    unless they are named.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    home: Path = Path("~/.lethe")
    database: str = ""  # SQLAlchemy URL of the vault and the ledger
    tracking: str = ""  # MLflow tracking and registry URI
    policy: Path = Path("policy.yaml")
    catalog: Path = Path("catalog.yaml")
    master_key_file: Path = Path()
    signing_key_file: Path = Path()
    signing_key_passphrase: SecretStr | None = None
    workers: int = Field(default=1, ge=1)  # processes that search; 1: this one alone
    scheduler: str = ""  # of a Dask cluster whose workers search instead

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, given: dict[str, object]) -> dict[str, object]:
        home = Path(str(given.get("home") or "~/.lethe")).expanduser().absolute()
        places = {
            "database": f"sqlite:///{home / 'lethe.db'}",
            "tracking": f"sqlite:///{home / 'mlflow.db'}",
            "master_key_file": home / "keys" / "master-key",
            "signing_key_file": home / "keys" / "signing-key.pem",
        }
        chosen = {name: value for name, value in given.items() if value not in ("", None)}
        filled: dict[str, object] = {**places, **chosen, "home": home}
        for name in ("policy", "catalog", "master_key_file", "signing_key_file"):
            if name in filled:
                filled[name] = Path(str(filled[name])).expanduser().absolute()
        return filled

    @property
    def shard_key_file(self) -> Path:
        """The key by which people were assigned to shards."""
        return self.home / "keys" / "shard-key"

    @property
    def artifacts(self) -> Path:
        """Where MLflow keeps its files."""
        return self.home / "mlflow"

    def passphrase(self) -> bytes | None:
        """The passphrase of the signing key, if it has one."""
        secret = self.signing_key_passphrase
        return secret.get_secret_value().encode() if secret else None


def load_settings() -> Settings:
    """Read the environment.

    Raises `RequestRejected` (SETTING_INVALID) for a variable that no setting has: a misspelt LETHE_DATABASE would
    otherwise write a request somewhere else in silence. LETHE_TEST_* and LETHE_DEMO_* belong to the tests and the demo.
    """
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in known:
            if name.startswith((f"{PREFIX}TEST_", f"{PREFIX}DEMO_")):
                continue
            raise RequestRejected(
                Code.SETTING_INVALID,
                place=f"environment variable {name}",
                remedy=f"no such setting; known are {', '.join(sorted(known))}.",
            )
    try:
        return Settings()
    except ValidationError as error:
        field = str(error.errors(include_input=False)[0]["loc"][0])
        raise RequestRejected(
            Code.SETTING_INVALID,
            place=f"environment variable {PREFIX}{field.upper()}",
            remedy="its value cannot be used; see README.md, Settings.",
        ) from None
