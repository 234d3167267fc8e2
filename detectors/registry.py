"""The detectors one can name in a policy."""

from detectors.annotator import Annotator
from detectors.exact import ExactIndex
from detectors.online import Online
from detectors.presidio import PresidioDetector

DETECTORS: dict[str, type[ExactIndex | PresidioDetector | Online | Annotator]] = {
    "exact": ExactIndex,
    "presidio": PresidioDetector,
    "online": Online,
    "annotator": Annotator,
}
