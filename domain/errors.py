"""Five ways in which an erasure stops, under one base.

    ErasureError
      RequestRejected     a person must act: the request, the policy or the input is wrong
      DetectionFailed     a detector broke; the search fails closed
      UnlearningFailed    a method diverged or went over budget; the policy's next method is tried
      EvidenceInvalid     a digest or a signature does not hold; never retried
      Unavailable         a service or the disk did not answer; retried with delays

`str(error)` is the code and the request reference and nothing else, because Prefect stores exception text in clear.
What a person reads is `error.sentence`: it names the place (a field, a file and line, a setting) and the remedy. The
place is written by this code from names of fields and files, never from the data in them.
"""

from enum import StrEnum


class Code(StrEnum):
    """Why it stopped. The value is stable: it is stored in the ledger and in Prefect."""

    REQUEST_UNREADABLE = "request_unreadable"
    REQUEST_FIELD = "request_field"
    REQUEST_NO_IDENTIFIERS = "request_no_identifiers"
    REQUEST_TOO_VAGUE = "request_too_vague"
    REQUEST_UNKNOWN = "request_unknown"
    REQUEST_STATE = "request_state"
    MODEL_UNKNOWN = "model_unknown"
    MODEL_UNREADABLE = "model_unreadable"
    MODEL_PICKLE = "model_pickle"
    MODEL_NOT_FINITE = "model_not_finite"
    MODEL_UNSUPPORTED = "model_unsupported"
    CORPUS_UNKNOWN = "corpus_unknown"
    CORPUS_UNREADABLE = "corpus_unreadable"
    CORPUS_CORRUPT = "corpus_corrupt"
    CORPUS_EMPTY = "corpus_empty"
    POLICY_INVALID = "policy_invalid"
    CATALOG_INVALID = "catalog_invalid"
    SETTING_INVALID = "setting_invalid"
    KEY_MISSING = "key_missing"
    KEY_UNSAFE = "key_unsafe"
    KEY_EXISTS = "key_exists"
    KEY_UNREADABLE = "key_unreadable"
    EXAMPLES_INVALID = "examples_invalid"
    DETECTOR_BROKE = "detector_broke"
    DETECTOR_UNKNOWN = "detector_unknown"
    WORKER_FAILED = "worker_failed"
    CLUSTER = "cluster"
    METHOD_UNKNOWN = "method_unknown"
    METHOD_INAPPLICABLE = "method_inapplicable"
    METHOD_DIVERGED = "method_diverged"
    METHOD_OVER_BUDGET = "method_over_budget"
    BASE_KNOWS_PERSON = "base_knows_person"
    ATTACK_INAPPLICABLE = "attack_inapplicable"
    NO_SPANS = "no_spans"
    NO_CONTROLS = "no_controls"
    NO_NEIGHBOURS = "no_neighbours"
    DIGEST_MISMATCH = "digest_mismatch"
    SIGNATURE_INVALID = "signature_invalid"
    BUNDLE_UNREADABLE = "bundle_unreadable"
    PERSONAL_DATA_IN_EVIDENCE = "personal_data_in_evidence"
    EVIDENCE_MISSING = "evidence_missing"
    DISK = "disk"
    DATABASE = "database"
    TRACKING = "tracking"
    LEASE_HELD = "lease_held"
    LEASE_LOST = "lease_lost"
    VAULT_UNREADABLE = "vault_unreadable"
    LEDGER_BROKEN = "ledger_broken"
    REDACTION_INCOMPLETE = "redaction_incomplete"
    UNEXPECTED = "unexpected"
    OUT_OF_MEMORY = "out_of_memory"
    INTERRUPTED = "interrupted"


def out_of_memory(error: BaseException) -> bool:
    """Whether the machine or a device ran out of memory; torch's error is known by its name."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


class ErasureError(Exception):
    """An erasure stopped.

    Args:
        code: why.
        request_ref: the opaque reference, when one is known.
        place: what to look at: a field, a file and line, a setting. Names only, never their contents.
        remedy: what to do next, as the rest of a sentence.
    """

    exit_code = 1

    def __init__(self, code: Code, *, place: str, remedy: str, request_ref: str = "") -> None:
        super().__init__(code.value if not request_ref else f"{code.value} {request_ref}")
        self.code = code
        self.place = place
        self.remedy = remedy
        self.request_ref = request_ref

    @property
    def sentence(self) -> str:
        """The place and the remedy, for a person at a terminal."""
        return f"{self.place}: {self.remedy}"


class RequestRejected(ErasureError):  # noqa: N818  named for what happened
    """A person must act: the request, the policy, or an input file is wrong."""

    exit_code = 2


class DetectionFailed(ErasureError):  # noqa: N818  named for what happened
    """A detector broke. It is never answered with "nothing found"."""

    exit_code = 3


class UnlearningFailed(ErasureError):  # noqa: N818  named for what happened
    """A method diverged, ran over budget, or does not apply; the policy's next method is tried."""

    exit_code = 4


class EvidenceInvalid(ErasureError):  # noqa: N818  named for what happened
    """A digest or a signature does not hold. Never retried."""

    exit_code = 5


class Unavailable(ErasureError):  # noqa: N818  named for what happened
    """A service or the disk did not answer. Retried with delays."""

    exit_code = 6
