"""The small model's yes or no from a server: `transformers serve` answers with the likelihood, and writes nothing.

Its chat completions hold no likelihoods, and it passes over `logprobs`. But `/v1/systemone` says for a question and a
text how likely the model holds yes and no, in words and tokens that a file in the model's folder decides: those of
`scoring.question` where `make annotator` wrote the folder.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from detectors.annotation import Judgement, MalformedError, Part
from detectors.candidates import kind
from detectors.chat import Chat
from detectors.scoring import VERSION, ByLooks, asked, disguised

TEMPLATE = "{{ state }}{{ question.instructions }}"
"""What the server makes of a question: `scoring.question`, letter for letter."""
_NAME = "private"


@dataclass
class Served(ByLooks):
    """Asks a model behind `transformers serve`.

    Args:
        chat: the door to the endpoint.

    """

    chat: Chat

    @property
    def identity(self) -> str:
        return f"served {VERSION} {self.chat.endpoint} {self.chat.model}"

    def judge(self, person: Sequence[str], text: str, part: Part) -> Judgement:
        """P(yes) against P(no) behind the question, as score."""
        body = {
            "model": self.chat.model,
            "state": _sendable(disguised(person, text)),
            "questions": {
                _NAME: {"type": "noul", "instructions": _sendable(asked(person, text, part))}
            },
        }
        answer = self.chat.posted("/systemone", body)
        try:
            score = answer["answers"][_NAME]["noul"]
        except (KeyError, TypeError):
            raise MalformedError("not a decision") from None
        if not isinstance(score, float) or not 0 <= score <= 1:
            raise MalformedError("a likelihood that there is not")
        return Judgement(True, kind(text[part[0] : part[1]]), score)

    def check(self) -> None:
        """Ask one question about a sentence that stands in no document."""
        self.judge(("Nobody Here",), "Nobody Here mends clocks in Vardal.", (12, 34))

    def close(self) -> None:
        """Close the client's connections."""
        self.chat.close()


def _sendable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
