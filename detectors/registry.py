"""The detectors one can name in a policy."""

from detectors.exact import ExactIndex
from detectors.presidio import PresidioDetector

DETECTORS: dict[str, type[ExactIndex] | type[PresidioDetector]] = {
    "exact": ExactIndex,
    "presidio": PresidioDetector,
}
