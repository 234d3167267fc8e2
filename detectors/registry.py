"""The detectors one can name in a policy."""

from detectors.annotator import Annotator
from detectors.exact import ExactIndex
from detectors.presidio import PresidioDetector

DETECTORS: dict[str, type[ExactIndex | PresidioDetector | Annotator]] = {
    "exact": ExactIndex,
    "presidio": PresidioDetector,
    "annotator": Annotator,
}
