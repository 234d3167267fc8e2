"""The door to an OpenAI-compatible endpoint: both questions as chat completions with a JSON schema."""

import json
import logging
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from detectors import answers, prompts
from detectors.annotation import Judgement, MalformedError, NoAnswerError, Part

if TYPE_CHECKING:
    from openai import OpenAI

_ANSWER_TOKENS = {"parts": 2048, "judgement": 128}  # room for an answer; a longer one is malformed
_BYTES_PER_TOKEN = 3  # where the server does not count: a high estimate of its tokens
_TRIES = 2  # of the client itself, where the server is busy or the line broke


@dataclass
class Chat:
    """Asks a model at an endpoint. Prompts and answers are never logged, and no document goes through a proxy or after
    a redirection.

    Args:
        endpoint: base URL, checked by `endpoint.check_endpoint` before.
        model: by the name under which the endpoint serves it.
        key_variable: the environment variable with the key; empty for none.
        timeout: seconds for one answer.
        budget_tokens: of all questions and answers together. Nothing is asked beyond it.

    """

    endpoint: str
    model: str
    key_variable: str
    timeout: float
    budget_tokens: int
    spent: int = field(default=0, init=False)
    _clients: list["OpenAI"] = field(default_factory=list, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    @property
    def identity(self) -> str:
        return f"chat {prompts.VERSION} {self.endpoint} {self.model}"

    def propose(self, person: Sequence[str], text: str) -> list[Part]:
        """The parts that the model names, wherever they stand in the text."""
        question = prompts.to_propose(person, text)
        content = self._ask(prompts.PROPOSE, question, "parts", prompts.PROPOSE_SCHEMA)
        return answers.parts(content, text)

    def judge(self, person: Sequence[str], text: str, part: Part) -> Judgement:
        """The model's word on one part, its score out of five."""
        question = prompts.to_judge(person, text, part)
        content = self._ask(prompts.JUDGE, question, "judgement", prompts.JUDGE_SCHEMA)
        return answers.judgement(content)

    def check(self) -> None:
        """Ask one question about a sentence that stands in no document."""
        self.judge(("Nobody Here",), "Nobody Here mends clocks in Vardal.", (12, 34))

    def close(self) -> None:
        """Close the client's connections."""
        with self._lock:
            while self._clients:
                self._clients.pop().close()

    def posted(self, path: str, body: dict[str, Any]) -> Any:
        """What the server answers to another kind of question, paid for. Raises `NoAnswerError`."""
        booked = len(json.dumps(body)) // _BYTES_PER_TOKEN
        self._book(booked)
        return self._sent(lambda: self._client().post(path, cast_to=object, body=body))

    def _ask(self, task: str, question: str, name: str, schema: dict[str, Any]) -> str:
        """The content of one answer, paid for."""
        most = _ANSWER_TOKENS[name]
        booked = len((task + question).encode("utf-8", "replace")) // _BYTES_PER_TOKEN + most
        self._book(booked)
        used = booked
        try:
            completion = self._sent(
                lambda: self._client().chat.completions.create(
                    model=self.model,
                    messages=[
                        {"role": "system", "content": task},
                        {"role": "user", "content": question.encode("utf-8", "replace").decode()},
                    ],
                    response_format={
                        "type": "json_schema",
                        "json_schema": {"name": name, "schema": schema, "strict": True},
                    },
                    temperature=0,
                    max_tokens=most,
                )
            )
            used = _counted(completion, booked)
        finally:
            with self._lock:
                self.spent += used - booked
        return _content(completion)

    def _book(self, tokens: int) -> None:
        """Set tokens aside before they are spent, so that threads together stay within the budget."""
        with self._lock:
            if self.spent + tokens > self.budget_tokens:
                raise NoAnswerError(
                    f"the policy's budget of {self.budget_tokens} tokens is used up; raise "
                    "detectors.annotator.budget_tokens and run again"
                )
            self.spent += tokens

    def _sent(self, ask: Callable[[], object]) -> Any:
        """What the client returns; what it raises as `NoAnswerError`, without its text."""
        import openai

        try:
            return ask()
        except NoAnswerError:
            raise
        except openai.APITimeoutError:
            reason = f"the model did not answer within {self.timeout:g} seconds; raise its timeout or lighten its load"
        except openai.APIConnectionError:
            reason = "the model's endpoint cannot be reached or broke off; start its server and run again"
        except openai.APIStatusError as error:
            reason = f"the model's endpoint answered with HTTP status {error.status_code}; see its own log"
        except Exception:  # noqa: BLE001  its message may quote question or answer
            reason = "the model's endpoint does not speak the protocol; name one that is OpenAI-compatible"
        raise NoAnswerError(reason) from None

    def _client(self) -> "OpenAI":
        """The client, made at the first question."""
        with self._lock:
            if not self._clients:
                self._clients.append(self._new_client())
            return self._clients[0]

    def _new_client(self) -> "OpenAI":
        import openai

        logging.getLogger("openai").setLevel(logging.CRITICAL + 1)  # whatever OPENAI_LOG says
        key = os.environ.get(self.key_variable, "") if self.key_variable else "none"
        if not key:
            raise NoAnswerError(
                f"the environment variable {self.key_variable} has no key; set it and run again"
            )
        return openai.OpenAI(
            base_url=self.endpoint,
            api_key=key,
            admin_api_key="",  # neither this nor the key of another service is taken from the environment
            timeout=self.timeout,
            max_retries=_TRIES,
            http_client=openai.DefaultHttpxClient(trust_env=False, follow_redirects=False),
        )


def _counted(completion: Any, booked: int) -> int:
    """The tokens that the server counted; what was set aside where it did not count."""
    total = getattr(getattr(completion, "usage", None), "total_tokens", None)
    return total if isinstance(total, int) and total > 0 else booked


def _content(completion: Any) -> str:
    """The text of a whole answer. Nothing is sure about it: the client does not validate."""
    try:
        [choice] = completion.choices
        finished, content = choice.finish_reason, choice.message.content
        refusal = getattr(choice.message, "refusal", None)
    except (AttributeError, TypeError, ValueError):
        raise MalformedError("not a chat completion") from None
    if refusal:
        raise MalformedError("a refusal")
    if finished != "stop":
        raise MalformedError("cut short")
    if not isinstance(content, str):
        raise MalformedError("no text")
    return content
