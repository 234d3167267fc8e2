"""The index of evidence and models: MLflow on its database, through its client only.

MLflow indexes, the signed files are the evidence (platform.md: finished runs stay writable,
artifacts can be overwritten, aliases keep no history, long values are cut in silence). So nothing
is read back from here to be believed: digests are compared. `MlflowClient` and not the fluent
interface, which would store the operator's login name.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from math import isfinite
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import unquote, urlsplit

from domain.errors import Code, EvidenceInvalid, Unavailable
from domain.outcomes import Assessment, CaseFile

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # before its import; it ignores DO_NOT_TRACK=1
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

from mlflow import MlflowClient
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException

EXPERIMENT = "erasure-evidence"
PRODUCTION = "production"
_DIGEST_TAG = "manifest_sha256"
_MAX_TAG = 8_000  # MLflow cuts a longer one in silence


class Tracking:
    """One MLflow database and the folder of its artifacts.

    Args:
        uri: of the database, for example `sqlite:////var/lib/lethe/mlflow.db`, or of a server.
        artifact_root: where the evidence files are copied to.

    """

    def __init__(self, uri: str, artifact_root: Path) -> None:
        self._artifact_root = artifact_root.resolve()
        with _answered():
            self._client = MlflowClient(tracking_uri=uri, registry_uri=uri)

    def record(self, case: CaseFile, files: Mapping[str, bytes]) -> str:
        """Index a case: digests as tags, measurements as metrics, the files as artifacts. Returns
        the id of the run.

        Recording the same files again returns the run that has them, so a resumed flow may repeat
        this.
        """
        tags = _tags(case, files)
        with _answered():
            experiment = self._experiment()
            same = self._client.search_runs(
                [experiment], f"tags.evidence_sha256 = '{tags['evidence_sha256']}'"
            )
            finished = [run for run in same if run.info.status == "FINISHED"]
            if finished:
                return str(finished[0].info.run_id)
            run_id = str(
                self._client.create_run(
                    experiment, tags=tags, run_name=case.request_ref
                ).info.run_id
            )
            self._client.log_batch(run_id, metrics=_metrics(case))
            with TemporaryDirectory() as folder:
                for name, content in files.items():
                    (Path(folder) / name).write_bytes(content)
                self._client.log_artifacts(run_id, folder)
            self._client.set_terminated(run_id)
        return run_id

    def current(self, model_name: str) -> Path | None:
        """The folder of the model in production, or None when there is none."""
        with _answered():
            version = self._by_alias(model_name, PRODUCTION)
        return None if version is None else Path(unquote(urlsplit(version.source).path))

    def register(self, model_name: str, path: Path, sha256: str, alias: str | None = None) -> str:
        """Register the model folder where it lies, without copying it, and return the version.

        The same folder with the same digest is registered once. With an alias, `promote` moves it.
        """
        source = path.resolve().as_uri()
        with _answered():
            if not self._client.search_registered_models(f"name = '{model_name}'"):
                self._client.create_registered_model(model_name)
            known = self._client.search_model_versions(f"name = '{model_name}'")
            version = next(
                (v for v in known if v.source == source and v.tags.get(_DIGEST_TAG) == sha256),
                None,
            ) or self._client.create_model_version(model_name, source, tags={_DIGEST_TAG: sha256})
        number = str(version.version)
        if alias is not None:
            self.promote(model_name, number, sha256, alias=alias)
        return number

    def promote(
        self, model_name: str, version: str, expected_sha256: str, *, alias: str = PRODUCTION
    ) -> None:
        """Move the alias to a version: the only function that does.

        1. the version's digest is the expected one; 2. the alias is set; 3. it is read back. Raises
           `EvidenceInvalid` (DIGEST_MISMATCH) when 1 or 3 does not hold.
        """
        with _answered():
            found = self._client.get_model_version(model_name, version)
            if found.tags.get(_DIGEST_TAG) != expected_sha256:  # 1
                raise _mismatch(model_name, "this version was registered with another digest")
            self._client.set_registered_model_alias(model_name, alias, version)  # 2
            now = self._by_alias(model_name, alias)  # 3
        if (
            now is None
            or str(now.version) != version
            or now.tags.get(_DIGEST_TAG) != expected_sha256
        ):
            raise _mismatch(model_name, "the alias does not point to this version after it was set")

    def _experiment(self) -> str:
        known = self._client.get_experiment_by_name(EXPERIMENT)
        if known is not None:
            return str(known.experiment_id)
        location = (self._artifact_root / EXPERIMENT).as_uri()
        return str(self._client.create_experiment(EXPERIMENT, artifact_location=location))

    def _by_alias(self, model_name: str, alias: str) -> Any:
        """The version behind the alias; None when the model or the alias is not there."""
        try:
            return self._client.get_model_version_by_alias(model_name, alias)
        except MlflowException as error:
            if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                return None
            raise


@contextmanager
def _answered() -> Iterator[None]:
    """Turn "it did not answer" into `Unavailable` (TRACKING)."""
    try:
        yield
    except (MlflowException, OSError):
        raise Unavailable(
            Code.TRACKING,
            place="LETHE_TRACKING",
            remedy="MLflow did not answer; check the address, the database and its disk",
        ) from None


def _tags(case: CaseFile, files: Mapping[str, bytes]) -> dict[str, str]:
    """The digests of a case, and one digest over all its files by which the run is found again."""
    digests = {name: sha256(content).hexdigest() for name, content in sorted(files.items())}
    manifest = "".join(f"{digest} {name}\n" for name, digest in digests.items())
    tags = {
        "request": case.request_ref,
        "status": case.status,
        "policy_sha256": case.policy_sha256,
        "evidence_sha256": sha256(manifest.encode()).hexdigest(),
        **{f"sha256.{name}": digest for name, digest in digests.items()},
        **{f"model.{m.name}.before": m.before_sha256 for m in case.models},
        **{f"model.{m.name}.after": m.after_sha256 for m in case.models},
    }
    for name, value in tags.items():
        if len(value) > _MAX_TAG:
            raise ValueError(f"the tag {name} is longer than MLflow keeps")
    return tags


def _metrics(case: CaseFile) -> list[Metric]:
    """Every measurement, as `<model>.<before or attempt number>.<attack>.<metric>.<group>`."""
    found: list[tuple[str, float]] = []
    for model in case.models:
        if model.before is not None:
            found += _numbers(f"{model.name}.before", model.before)
        for attempt in model.attempts:
            if attempt.after is not None:
                found += _numbers(f"{model.name}.attempt-{attempt.number}", attempt.after)
    for corpus in case.corpora:
        found.append((f"corpus.{corpus.name}.spans", float(corpus.spans)))
        if corpus.recall is not None:
            found.append((f"corpus.{corpus.name}.recall", corpus.recall.found.value))
            found.append((f"corpus.{corpus.name}.recall.low95", corpus.recall.found.low))
    # MLflow reads infinity back as 1.8e308; such numbers stay in the signed statements only
    return [Metric(name, value, 0, 0) for name, value in found if isfinite(value)]


def _numbers(prefix: str, assessment: Assessment) -> Iterator[tuple[str, float]]:
    for attack in assessment.attacks:
        for score in attack.scores:
            name = f"{prefix}.{attack.attack}.{score.metric}"
            yield f"{name}.members", score.members.value
            yield f"{name}.controls", score.controls.value
            if score.contrast is not None:
                yield f"{name}.contrast", score.contrast.value
    yield f"{prefix}.utility.perplexity", assessment.utility.perplexity.value
    yield f"{prefix}.utility.others", assessment.utility.others.value
    for name, estimate in assessment.utility.measures.items():
        yield f"{prefix}.utility.{name}", estimate.value


def _mismatch(model_name: str, remedy: str) -> EvidenceInvalid:
    return EvidenceInvalid(Code.DIGEST_MISMATCH, place=f"models.{model_name}", remedy=remedy)
