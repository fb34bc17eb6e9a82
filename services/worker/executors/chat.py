"""One request to a language model, through any endpoint with the OpenAI chat protocol.

The answer is printed as it arrives, followed by a newline. The request contains the messages of earlier chat steps
before the step's own messages. A response 429, 500, 502, 503 or 504 is retried up to three times. A request that may
have been answered is never repeated, since answers cost money. The API key comes from the step's environment, which
includes secrets, and is never printed.
Source: docs/executors.md#details-of-each-type.
"""

import json
import ssl
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import urllib3
from urllib3.exceptions import HTTPError

from services.worker.executors.base import Job, StepIO
from services.worker.executors.cancel_scope import Cancelled, CancelScope
from services.worker.executors.http import open_pool
from services.worker.executors.results import make_result
from services.worker.executors.step_values import evaluate
from services.worker.process.outcome import Result
from shared.errors import InvalidInput
from shared.http_failures import failure_text
from shared.outbound_http import OutboundDenied

__all__ = ["ChatExecutor"]

_LOCAL = ("http://localhost:11434/v1", "")
_PROVIDERS = {
    "openai": ("https://api.openai.com/v1", "OPENAI_API_KEY"),
    "anthropic": ("https://api.anthropic.com/v1", "ANTHROPIC_API_KEY"),
    "gemini": ("https://generativelanguage.googleapis.com/v1beta/openai", "GOOGLE_API_KEY"),
    "openrouter": ("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    **dict.fromkeys(("local", "ollama", "vllm", "llama"), _LOCAL),
}
"""By provider: the base URL of its chat endpoint, and the name of the variable that holds the API key."""

_PIECE = 16_384
_SHOWN_ERROR = 500
_MAX_LINE = 1 << 20
_HTTP_OK = 200
_RETRIED_STATUS = frozenset({429, 500, 502, 503, 504})
_WAITS_S = (1.0, 2.0, 4.0)
_LONGEST_WAIT_S = 30.0
_MOST_ANSWER = 4 << 20
"""The maximum size of an answer, in characters, and of a response that is not a stream, in bytes. Both are in memory,
and the end report of the attempt contains the answer."""
_MOST_HISTORY = 256 * 1024
"""The maximum size of earlier messages, in characters. The oldest messages are dropped first."""


class ChatExecutor:
    """Sends the messages of a step to a model and prints the answer."""

    def run(self, job: Job, io: StepIO) -> Result:
        """Send the request and print the answer. An error response or an incomplete answer is exit code 1."""
        llm: dict[str, Any] = evaluate(job, job.step.llm or job.options.get("llm") or {})
        own = _own_messages(job, str(llm.get("system") or ""))
        conversation = _conversation(job, own)
        url, headers, body = _request(job, llm, conversation)
        cancel_scope = CancelScope()
        exchange = _Exchange(job, cancel_scope, io, thinking=bool((llm.get("thinking") or {}).get("includeInOutput")))
        try:
            error = job.supervisor.call(lambda: exchange.make(url, headers, body), cancel_scope.cancel)
        except (HTTPError, Cancelled, OSError, ValueError, OutboundDenied) as failure:
            error = f"chat request failed: {failure_text(failure)}"
        finally:
            cancel_scope.cancel()
        result = make_result(job, error or "")
        if result.outcome == "succeeded":
            # With the system message that counted, since the conversation may go on with it.
            said = [*(one for one in conversation[:1] if one["role"] == "system"), *_spoken(own)]
            io.messages.extend((one["role"], one["content"]) for one in said)
            io.messages.append(("assistant", exchange.answer))
        return result


def _own_messages(job: Job, system: str) -> list[dict[str, str]]:
    """Return the step's own messages. ``system`` is one of them if they have no system message."""
    if not job.step.messages:
        raise InvalidInput("at least one message is required")
    own = [{"role": one["role"], "content": str(evaluate(job, one["content"]))} for one in job.step.messages]
    if system and all(one["role"] != "system" for one in own):
        own.insert(0, {"role": "system", "content": system})
    return own


def _spoken(messages: Iterable[dict[str, str]]) -> list[dict[str, str]]:
    return [one for one in messages if one["role"] != "system"]


def _conversation(job: Job, own: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return the messages to send: one system message, the earlier messages, the step's own messages.

    The step's last system message counts, else the first one of the conversation so far, as in Dagu.
    """
    history = [{"role": str(one["role"]), "content": str(one["content"])} for one in job.options.get("history") or ()]
    systems = [one for messages in (reversed(own), history) for one in messages if one["role"] == "system"]
    earlier = _spoken(history)
    size = sum(len(one["content"]) for one in earlier)
    while earlier and size > _MOST_HISTORY:
        size -= len(earlier.pop(0)["content"])
    return [*systems[:1], *earlier, *_spoken(own)]


def _request(
    job: Job, llm: dict[str, Any], messages: list[dict[str, str]]
) -> tuple[str, dict[str, str], dict[str, Any]]:
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
            raise InvalidInput(f"the API key of {provider} is missing: set {key_name} in the env or secrets of the DAG")
        headers["Authorization"] = f"Bearer {key}"
    body: dict[str, Any] = {"model": llm["model"], "messages": messages, "stream": llm.get("stream", True) is not False}
    for name, sent in (("temperature", "temperature"), ("maxTokens", "max_tokens"), ("topP", "top_p")):
        if llm.get(name) is not None:
            body[sent] = llm[name]
    body |= _thinking(provider, llm.get("thinking") or {})
    return f"{base.rstrip('/')}/chat/completions", headers, body


def _thinking(provider: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the request fields that turn on reasoning; empty for local endpoints, which may reject them."""
    if not settings.get("enabled") or _PROVIDERS[provider] == _LOCAL:
        return {}
    effort = settings.get("effort") or "medium"
    if provider != "openrouter":
        return {"reasoning_effort": effort}
    budget = settings.get("budgetTokens")
    return {"reasoning": {"effort": effort, **({"max_tokens": budget} if budget else {})}}


class _Exchange:
    """A request with its retries. ``answer`` is the text of the answer without the reasoning."""

    def __init__(self, job: Job, cancel_scope: CancelScope, io: StepIO, *, thinking: bool) -> None:
        self.answer = ""
        self._job = job
        self._scope = cancel_scope
        self._io = io
        self._thinking = thinking

    def make(self, url: str, headers: dict[str, str], body: dict[str, Any]) -> str:
        """Send the request, print the answer and return the error text, empty on success."""
        tls = ssl.create_default_context() if url.startswith("https:") else None
        with open_pool(self._job, self._scope, tls) as pool:
            waits = iter(_WAITS_S)
            while True:
                response = pool.request(
                    "POST", url, body=json.dumps(body).encode(), headers=headers, retries=False, preload_content=False
                )
                try:
                    if response.status == _HTTP_OK:
                        return self._read(response, stream=body["stream"])
                    text = response.read(_PIECE).decode(errors="replace")[:_SHOWN_ERROR].strip()
                finally:
                    response.close()
                wait_s = next(waits, None) if response.status in _RETRIED_STATUS else None
                if wait_s is None:
                    return f"the model's endpoint answered {response.status}: {text}"
                self._wait(_retry_after_s(response, wait_s))

    def _wait(self, seconds: float) -> None:
        ended = threading.Event()
        self._scope.on_cancel(ended.set)
        if ended.wait(seconds):
            raise Cancelled

    def _read(self, response: urllib3.BaseHTTPResponse, *, stream: bool) -> str:
        try:
            if stream:
                return self._print_stream(response)
            message = json.loads(_body(response))["choices"][0]["message"]
            self._print(message)
            self._scope.write(self._io.stdout, b"\n")
        except json.JSONDecodeError:
            return "the model's endpoint sent no chat answer: it is not JSON: check llm.baseURL"
        except (KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
            return f"the model's endpoint sent no chat answer: {error}"
        return ""

    def _print(self, part: dict[str, Any]) -> None:
        reasoning = str(part.get("reasoning_content") or part.get("reasoning") or "") if self._thinking else ""
        content = str(part.get("content") or "")
        if len(self.answer) + len(content) > _MOST_ANSWER:
            raise ValueError(f"the answer is longer than {_MOST_ANSWER} characters")
        self.answer += content
        if reasoning or content:
            self._scope.write(self._io.stdout, (reasoning + content).encode(errors="replace"))

    def _print_stream(self, response: urllib3.BaseHTTPResponse) -> str:
        finished = False
        for event in _events(response):
            if event == "[DONE]":
                finished = True
                break
            found = json.loads(event)
            if "error" in found:
                return f"the model's endpoint sent an error: {found['error']}"
            for choice in found.get("choices") or ():
                self._print(choice.get("delta") or {})
                finished = finished or bool(choice.get("finish_reason"))
        self._scope.write(self._io.stdout, b"\n")
        return "" if finished else "the answer is incomplete: the model's endpoint closed the stream early"


def _body(response: urllib3.BaseHTTPResponse) -> bytes:
    parts, size = list[bytes](), 0
    while piece := response.read1(_PIECE, decode_content=True):
        parts.append(piece)
        size += len(piece)
        if size > _MOST_ANSWER:
            raise ValueError(f"the response is larger than {_MOST_ANSWER} bytes")
    return b"".join(parts)


def _retry_after_s(response: urllib3.BaseHTTPResponse, otherwise_s: float) -> float:
    text = response.headers.get("Retry-After", "")
    return min(float(text), _LONGEST_WAIT_S) if text.isdecimal() else otherwise_s


def _events(response: urllib3.BaseHTTPResponse) -> Iterator[str]:
    """Yield the data of each server-sent event as it arrives."""
    for text in _lines(iter(lambda: response.read1(_PIECE, decode_content=True), b"")):
        if text.startswith("data:"):
            yield text[len("data:") :].strip()


def _lines(pieces: Iterable[bytes]) -> Iterator[str]:
    held = b""
    for piece in pieces:
        *lines, held = (held + piece).split(b"\n")
        if len(held) > _MAX_LINE:
            raise ValueError(f"the model's endpoint sent a line longer than {_MAX_LINE} bytes: check llm.baseURL")
        for one in lines:
            yield one.decode(errors="replace")
    if held:
        yield held.decode(errors="replace")
