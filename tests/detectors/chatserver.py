"""A real HTTP server that speaks the chat protocol and behaves as the model's name says; it knows the private parts.

    python -m tests.detectors.chatserver PORT FILE      (FILE: JSON, the private parts)

Reads what the annotator asks as a model would: the document between its fences, the part between its marks. `right`
answers as it should; the other names break one rule each, those with `:once` behind them in their first answer alone;
`gullible` does whatever the document says. Standard library only, so that it starts at once.
"""

import json
import os
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_DOCUMENT = re.compile(r"----- document (\w+)\n(.*)\n----- end of document \1", re.DOTALL)
_MARKS = re.compile(r"The marks are \[\[(\w+) and")
SLOW = 0.02  # seconds for an answer of `slow`
LATE = 30.0  # seconds for an answer of `late`
FORGED = re.compile(r'\{"(parts|about)".*?\}')


class Question:
    """What one request asks."""

    def __init__(self, body: dict[str, Any]) -> None:
        [_, user] = body["messages"]
        fenced = _DOCUMENT.search(user["content"])
        assert fenced is not None, "the document is not fenced"
        self.model: str = body["model"]
        self.schema: str = body["response_format"]["json_schema"]["name"]
        self.text = fenced[2]
        marks = _MARKS.match(user["content"])
        self.part = ""
        if marks is not None:
            inside = re.search(rf"\[\[{marks[1]} (.*?) {marks[1]}\]\]", self.text, re.DOTALL)
            assert inside is not None, "no part is marked"
            self.part = inside[1]
            self.text = self.text.replace(f"[[{marks[1]} ", "").replace(f" {marks[1]}]]", "")


class Server(ThreadingHTTPServer):
    """Counts what it answered."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int, private: list[str]) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.private = private
        self.asked = self.obeyed = 0
        self.by_name: Counter[str] = Counter()
        self.lock = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""

    def do_GET(self) -> None:
        if self.path == "/asked":
            self._send(200, {"asked": self.server.asked, "obeyed": self.server.obeyed})
        else:
            self._send(404, {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        question = Question(body)
        with self.server.lock:
            self.server.asked += 1
            self.server.by_name[question.model] += 1
            number = self.server.by_name[question.model]
        kind, _, argument = question.model.partition(":")
        if kind == "late":
            time.sleep(LATE)
        if kind == "slow":
            time.sleep(SLOW)
        if kind == "status":
            self._send(int(argument), {"error": {"message": question.text}})
        elif kind == "moved":
            self.send_response(307)
            self.send_header("Location", "http://127.0.0.2:1/v1/chat/completions")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif kind == "page":
            self._send(200, question.text, "text/html")
        elif kind == "empty":
            self._send(200, {"object": "chat.completion", "choices": []})
        elif kind == "dies":
            self._send(200, completion(self._answer(question, number)), cut=True)
            os._exit(9)
        else:
            self._send(200, completion(self._answer(question, number), kind))

    def _answer(self, question: Question, number: int) -> str:
        private = self.server.private
        kind, _, argument = question.model.partition(":")
        if kind in BROKEN and not (argument == "once" and number > 1):
            return BROKEN[kind](question, private)
        if kind == "gullible":
            told = ordered(question)
            if told is not None:
                with self.server.lock:
                    self.server.obeyed += 1
                return told
        return right(question, private)

    def _send(
        self, status: int, value: object, form: str = "application/json", *, cut: bool = False
    ) -> None:
        content = (value if isinstance(value, str) else json.dumps(value)).encode()
        self.send_response(status)
        self.send_header("Content-Type", form)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if cut else content)
        self.wfile.flush()


def right(question: Question, private: list[str]) -> str:
    """What a careful model answers."""
    if question.schema == "parts":
        return parts(*(part for part in private if part in question.text))
    known = question.part in private
    return judgement(known, "work" if known else "other")


def parts(*named: str) -> str:
    return json.dumps({"parts": list(named)}, ensure_ascii=False)


def judgement(private: bool, category: str = "other", score: object = 5) -> str:
    return json.dumps({"about": private, "private": private, "category": category, "score": score})


BROKEN: dict[str, Callable[[Question, list[str]], str]] = {
    "prose": lambda question, _: f"Here is what I found: {question.text}",
    "refuses": lambda question, _: f"I cannot help with {question.text}",
    "halved": lambda question, private: right(question, private)[:-2],
    "list": lambda *_: "[]",
    "extra": lambda question, private: right(question, private)[:-1] + ', "more": 1}',
    "twice": lambda question, private: right(question, private)[:-1] + ', "parts": []}',
    "elsewhere": lambda *_: parts("not in the text at all"),
    "numbers": lambda *_: '{"parts": [1]}',
    "blank": lambda *_: parts("  "),
    "greedy": lambda question, _: parts(question.text),
    "deep": lambda *_: "[" * 100_000,
    "score": lambda question, private: (
        right(question, private) if question.schema == "parts" else judgement(True, "work", 6)
    ),
    "list-score": lambda question, private: (
        right(question, private) if question.schema == "parts" else judgement(True, "work", [5])
    ),
    "category": lambda question, private: (
        right(question, private) if question.schema == "parts" else judgement(True, "secret")
    ),
}


def ordered(question: Question) -> str | None:
    """What the document orders, word for word; None where it orders nothing of this question."""
    for forged in FORGED.finditer(question.text):
        if ("parts" if forged[1] == "parts" else "judgement") == question.schema:
            return forged[0]
    said = question.text.lower()
    if "mark everything" in said:
        return parts(question.text) if question.schema == "parts" else judgement(True)
    if "mark nothing" in said:
        return parts() if question.schema == "parts" else judgement(False)
    return None


def completion(content: str, kind: str = "") -> dict[str, Any]:
    """One answer as the protocol has it."""
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if kind == "refuses":
        message = {"role": "assistant", "content": None, "refusal": content}
    return {
        "id": "one",
        "object": "chat.completion",
        "created": 0,
        "model": "scripted",
        "choices": [
            {"index": 0, "message": message, "finish_reason": "length" if kind == "cut" else "stop"}
        ],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
    }


if __name__ == "__main__":
    with Server(int(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text("utf-8"))) as server:
        server.serve_forever()
