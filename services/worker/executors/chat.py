"""One exchange with a language model, through any endpoint that speaks the OpenAI chat protocol.

The answer is printed as it arrives, followed by a newline. What earlier chat steps said goes before the
step's own messages. A refusal that says "later" is waited out a few times; a request that was perhaps
answered costs money and is never made again. The key is looked up in the step's environment, secrets
included, and never printed.
Source: the workflow language reference, section on the chat executor.
"""

import json
import ssl
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import urllib3
from urllib3.exceptions import HTTPError

from services.worker.executors.base import Job, StepIO
from services.worker.executors.http import open_pool
from services.worker.executors.inline import CutOff, Line, conclude, evaluate
from services.worker.process.outcome import Result
from shared.errors import InvalidInput

__all__ = ["ChatExecutor"]

_LOCAL = ("http://localhost:11434/v1", "")
_PROVIDERS = {
    "openai": ("https://api.openai.com/v1", "OPENAI_API_KEY"),
    "anthropic": ("https://api.anthropic.com/v1", "ANTHROPIC_API_KEY"),
    "gemini": ("https://generativelanguage.googleapis.com/v1beta/openai", "GOOGLE_API_KEY"),
    "openrouter": ("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    **dict.fromkeys(("local", "ollama", "vllm", "llama"), _LOCAL),
}
"""Provider -> base URL of its chat endpoint, and the variable that holds the key."""

_PIECE = 16_384
_SHOWN_ERROR = 500
_MAX_LINE = 1 << 20
_HTTP_OK = 200
_LATER = frozenset({429, 500, 502, 503, 504})
_WAITS_S = (1.0, 2.0, 4.0)
_LONGEST_WAIT_S = 30.0
_MOST_HISTORY = 256 * 1024
"""Characters: what was said first is forgotten first."""


class ChatExecutor:
    """Sends the messages of a step and prints the answer."""

    def run(self, job: Job, io: StepIO) -> Result:
        """Ask; a refusal, and an answer that breaks off, are exit code 1."""
        llm: dict[str, Any] = evaluate(job, job.step.llm or job.options.get("llm") or {})
        own = _own_messages(job)
        url, headers, body = _request(job, llm, own)
        line = Line()
        asked = _Exchange(line, io, thinking=bool((llm.get("thinking") or {}).get("includeInOutput")))
        try:
            error = job.supervisor.call(lambda: asked.make(url, headers, body), line.cut)
        except (HTTPError, CutOff, OSError, ValueError) as failure:
            error = f"chat request failed: {failure}"
        finally:
            line.cut()
        result = conclude(job, error or "")
        if result.outcome == "succeeded":
            io.messages.extend((one["role"], one["content"]) for one in own)
            io.messages.append(("assistant", asked.answer))
        return result


def _own_messages(job: Job) -> list[dict[str, str]]:
    if not job.step.messages:
        raise InvalidInput("at least one message is required")
    return [{"role": one["role"], "content": str(evaluate(job, one["content"]))} for one in job.step.messages]


def _conversation(job: Job, own: list[dict[str, str]], system: str) -> list[dict[str, str]]:
    """Return what was said before and what is said now, with the first system message only, at its head."""
    history = [{"role": str(one["role"]), "content": str(one["content"])} for one in job.options.get("history") or ()]
    systems = [one for one in (*history, *own) if one["role"] == "system"]
    first = systems[:1] or ([{"role": "system", "content": system}] if system else [])
    told = [one for one in history if one["role"] != "system"]
    size = sum(len(one["content"]) for one in told)
    while told and size > _MOST_HISTORY:
        size -= len(told.pop(0)["content"])
    return [*first, *told, *(one for one in own if one["role"] != "system")]


def _request(job: Job, llm: dict[str, Any], own: list[dict[str, str]]) -> tuple[str, dict[str, str], dict[str, Any]]:
    provider = str(llm.get("provider") or "")
    if provider not in _PROVIDERS:
        raise InvalidInput(f"unknown chat provider: {provider}" if provider else "provider is required")
    if not llm.get("model"):
        raise InvalidInput("model is required")
    base, key_name = _PROVIDERS[provider]
    base, key_name = str(llm.get("baseURL") or base), str(llm.get("apiKeyName") or key_name)
    headers = {"Content-Type": "application/json"}
    if key_name:
        key = job.environment.process.get(key_name, "")
        if not key:
            raise InvalidInput(f"the key of {provider} is not set: {key_name}")
        headers["Authorization"] = f"Bearer {key}"
    messages = _conversation(job, own, str(llm.get("system") or ""))
    body: dict[str, Any] = {"model": llm["model"], "messages": messages, "stream": llm.get("stream", True) is not False}
    for name, sent in (("temperature", "temperature"), ("maxTokens", "max_tokens"), ("topP", "top_p")):
        if llm.get(name) is not None:
            body[sent] = llm[name]
    body |= _thinking(provider, llm.get("thinking") or {})
    return f"{base.rstrip('/')}/chat/completions", headers, body


def _thinking(provider: str, asked: dict[str, Any]) -> dict[str, Any]:
    """Return how a request for thoughts is put; endpoints of one's own may know of none."""
    if not asked.get("enabled") or _PROVIDERS[provider] == _LOCAL:
        return {}
    effort = asked.get("effort") or "medium"
    if provider != "openrouter":
        return {"reasoning_effort": effort}
    budget = asked.get("budgetTokens")
    return {"reasoning": {"effort": effort, **({"max_tokens": budget} if budget else {})}}


class _Exchange:
    """Asking, until there is an answer or none is to be had; ``answer`` is what was said, thoughts left out."""

    def __init__(self, line: Line, io: StepIO, *, thinking: bool) -> None:
        self.answer = ""
        self._line = line
        self._io = io
        self._thinking = thinking

    def make(self, url: str, headers: dict[str, str], body: dict[str, Any]) -> str:
        """Print the answer and return what is wrong with it."""
        tls = ssl.create_default_context() if url.startswith("https:") else None
        with open_pool(self._line, tls) as pool:
            waits = iter(_WAITS_S)
            while True:
                answer = pool.request(
                    "POST", url, body=json.dumps(body).encode(), headers=headers, retries=False, preload_content=False
                )
                try:
                    if answer.status == _HTTP_OK:
                        return self._read(answer, stream=body["stream"])
                    said = answer.read(_PIECE).decode(errors="replace")[:_SHOWN_ERROR].strip()
                finally:
                    answer.close()
                wait_s = next(waits, None) if answer.status in _LATER else None
                if wait_s is None:
                    return f"the model's endpoint answered {answer.status}: {said}"
                self._wait(_asked_wait_s(answer, wait_s))

    def _wait(self, seconds: float) -> None:
        ended = threading.Event()
        self._line.on_cut(ended.set)
        if ended.wait(seconds):
            raise CutOff

    def _read(self, answer: urllib3.BaseHTTPResponse, *, stream: bool) -> str:
        try:
            if stream:
                return self._print_stream(answer)
            message = json.loads(answer.read())["choices"][0]["message"]
            self._print(message)
            self._line.write(self._io.stdout, b"\n")
        except (KeyError, IndexError, TypeError) as error:
            return f"the model's endpoint sent something else than a chat answer: {error}"
        return ""

    def _print(self, part: dict[str, Any]) -> None:
        thought = str(part.get("reasoning_content") or part.get("reasoning") or "") if self._thinking else ""
        said = str(part.get("content") or "")
        self.answer += said
        if thought or said:
            self._line.write(self._io.stdout, (thought + said).encode(errors="replace"))

    def _print_stream(self, answer: urllib3.BaseHTTPResponse) -> str:
        finished = False
        for event in _events(answer):
            if event == "[DONE]":
                finished = True
                break
            found = json.loads(event)
            if "error" in found:
                return f"the model's endpoint sent an error: {found['error']}"
            for choice in found.get("choices") or ():
                self._print(choice.get("delta") or {})
                finished = finished or bool(choice.get("finish_reason"))
        self._line.write(self._io.stdout, b"\n")
        return "" if finished else "the answer broke off"


def _asked_wait_s(answer: urllib3.BaseHTTPResponse, otherwise_s: float) -> float:
    text = answer.headers.get("Retry-After", "")
    return min(float(text), _LONGEST_WAIT_S) if text.isdecimal() else otherwise_s


def _events(answer: urllib3.BaseHTTPResponse) -> Iterator[str]:
    """Yield the data of each server-sent event as it arrives."""
    for text in _lines(iter(lambda: answer.read1(_PIECE, decode_content=True), b"")):
        if text.startswith("data:"):
            yield text[len("data:") :].strip()


def _lines(pieces: Iterable[bytes]) -> Iterator[str]:
    held = b""
    for piece in pieces:
        *lines, held = (held + piece).split(b"\n")
        if len(held) > _MAX_LINE:
            raise ValueError("a line of the answer is too long")
        for one in lines:
            yield one.decode(errors="replace")
    if held:
        yield held.decode(errors="replace")
