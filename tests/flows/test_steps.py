"""What leaves a step: a code, and never the text, the chain or the frames of what went wrong."""

import traceback

import pytest

from domain.errors import Code, DetectionFailed, RequestRejected, Unavailable
from flows.steps import shielded

TEXT = "Wilhelmina Zauberlinde"


def raised_by(body):
    with pytest.raises(DetectionFailed) as stopped:
        shielded(body, "locate", DetectionFailed)()
    return stopped.value


def test_an_unforeseen_exception_leaves_as_a_code():
    def body():
        raise KeyError(TEXT)

    error = raised_by(body)
    assert error.code is Code.UNEXPECTED
    assert "KeyError" in error.sentence
    assert "test_steps.py line" in error.sentence
    assert TEXT not in "".join(traceback.format_exception(error))


def test_the_cause_of_our_own_error_is_cut_off():
    def body():
        try:
            {}[TEXT]
        except KeyError as error:
            raise DetectionFailed(Code.DETECTOR_BROKE, place="p", remedy="r") from error

    error = raised_by(body)
    assert error.code is Code.DETECTOR_BROKE
    assert error.__cause__ is None
    assert TEXT not in "".join(traceback.format_exception(error))


@pytest.mark.parametrize("kind", [RequestRejected, Unavailable])
def test_our_own_error_keeps_its_kind_and_sentence(kind):
    def body():
        raise kind(Code.DISK, place="the disk", remedy="free space")

    with pytest.raises(kind) as stopped:
        shielded(body, "locate", DetectionFailed)()
    assert stopped.value.sentence == "the disk: free space"


def test_what_does_not_fail_is_returned():
    assert shielded(lambda: 7, "locate", DetectionFailed)() == 7
