"""Keys and bundles, made for real; one key for the whole session because making one is slow."""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from domain.outcomes import Assessment, Attempt, CaseFile
from reports import bundle, dsse, keys, statement
from tests.reports import cases


@pytest.fixture(scope="session")
def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="session")
def stranger() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def envelopes(case: CaseFile, key: ec.EllipticCurvePrivateKey) -> dict[str, bytes]:
    """The envelopes that come before the completion."""
    if not case.models:
        return {}
    commitment = dsse.sign(
        statement.policy_commitment(
            case.request_ref,
            policy_sha256=case.policy_sha256,
            models={model.name: model.before_sha256 for model in case.models},
            attacks=("extraction", "memorisation"),
            methods=("depn", "selective_ascent"),
            seed=7,
            committed_at="2026-11-20T10:00:00Z",
        ),
        key,
    )
    made = {"policy-commitment": commitment}
    tried = [(model, attempt) for model in case.models for attempt in model.attempts]
    for number, (model, attempt) in enumerate(tried, start=1):
        payload = statement.verification(
            case.request_ref,
            model=model.name,
            before_sha256=model.before_sha256,
            before=model.before,
            attempt=attempt,
            commitment_sha256=sha256(commitment).hexdigest(),
            measured_at="2026-11-20T12:00:00Z",
        )
        made[bundle.verification_name(number)] = dsse.sign(payload, key)
    return made


def verification(attempt: Attempt, before: Assessment | None = cases.BEFORE) -> bytes:
    """The statement about one attempt on model "m", by itself."""
    return statement.verification(
        "req-1",
        model="m",
        before_sha256=cases.sha(3),
        before=before,
        attempt=attempt,
        commitment_sha256=cases.sha(9),
        measured_at="2026-11-20T12:00:00Z",
    )


_MADE: dict[tuple[int, int], dict[str, bytes]] = {}  # of the standard cases: charts take time


def evidence(case: CaseFile, key: ec.EllipticCurvePrivateKey) -> dict[str, bytes]:
    """Every file of a case's bundle."""
    if not any(case is standard for standard in cases.ALL.values()):
        return bundle.assemble(case, envelopes(case, key), key, forbidden=())
    if (id(case), id(key)) not in _MADE:
        _MADE[id(case), id(key)] = bundle.assemble(case, envelopes(case, key), key, forbidden=())
    return dict(_MADE[id(case), id(key)])


@pytest.fixture(scope="session")
def files(key: ec.EllipticCurvePrivateKey) -> Mapping[str, bytes]:
    return evidence(cases.FULFILLED, key)


@pytest.fixture(scope="session")
def trusted(key: ec.EllipticCurvePrivateKey) -> bytes:
    return keys.public_pem(key.public_key())


@pytest.fixture
def zipped(tmp_path: Path, files: Mapping[str, bytes]) -> Path:
    path = tmp_path / "evidence.zip"
    bundle.write(path, files)
    return path
