"""One exchange with a language model, through any endpoint that speaks the OpenAI chat protocol.

The answer is printed as it arrives, followed by a newline. The key is looked up in the step's
environment, secrets included, and never printed.
Source: the workflow language reference, section on the chat executor.
"""

import json
import ssl
from collections.abc import Iterable, Iterator
from typing import Any

import urllib3
from urllib3.exceptions import HTTPError

from services.worker.executors.base import Job, StepIO
from services.worker.executors.http import open_pool
from services.worker.executors.inline import CutOff, Line, conclude, evaluate
from services.worker.outcome import Result
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


class ChatExecutor:
    """Sends the messages of a step and prints the answer."""

    def run(self, job: Job, io: StepIO) -> Result:
        """Ask; a refusal, and an answer that breaks off, are exit code 1."""
        llm: dict[str, Any] = evaluate(job, job.step.llm or job.options.get("llm") or {})
        url, headers, body = _request(job, llm)
        line = Line()
        thinking = bool((llm.get("thinking") or {}).get("includeInOutput"))
        try:
            error = job.supervisor.call(lambda: _ask(line, io, url, headers, body, thinking=thinking), line.cut)
        except (HTTPError, CutOff, OSError, ValueError) as failure:
            error = f"chat request failed: {failure}"
        finally:
            line.cut()
        return conclude(job, error or "")


def _request(job: Job, llm: dict[str, Any]) -> tuple[str, dict[str, str], dict[str, Any]]:
    provider = str(llm.get("provider") or "")
    if provider not in _PROVIDERS:
        raise InvalidInput(f"unknown chat provider: {provider}" if provider else "provider is required")
    if not llm.get("model"):
        raise InvalidInput("model is required")
    if not job.step.messages:
        raise InvalidInput("at least one message is required")
    base, key_name = _PROVIDERS[provider]
    base, key_name = str(llm.get("baseURL") or base), str(llm.get("apiKeyName") or key_name)
    headers = {"Content-Type": "application/json"}
    if key_name:
        key = job.environment.process.get(key_name, "")
        if not key:
            raise InvalidInput(f"the key of {provider} is not set: {key_name}")
        headers["Authorization"] = f"Bearer {key}"
    messages = [{"role": one["role"], "content": str(evaluate(job, one["content"]))} for one in job.step.messages]
    if llm.get("system") and messages[0]["role"] != "system":
        messages.insert(0, {"role": "system", "content": str(llm["system"])})
    body: dict[str, Any] = {"model": llm["model"], "messages": messages, "stream": llm.get("stream", True) is not False}
    for name, sent in (("temperature", "temperature"), ("maxTokens", "max_tokens"), ("topP", "top_p")):
        if llm.get(name) is not None:
            body[sent] = llm[name]
    thinking = llm.get("thinking") or {}
    if thinking.get("enabled") and thinking.get("effort"):
        body["reasoning_effort"] = thinking["effort"]
    return f"{base.rstrip('/')}/chat/completions", headers, body


def _ask(line: Line, io: StepIO, url: str, headers: dict[str, str], body: dict[str, Any], *, thinking: bool) -> str:
    """Make the exchange, print the answer and return what is wrong with it."""
    tls = ssl.create_default_context() if url.startswith("https:") else None
    with open_pool(line, tls) as pool:
        # A request that was perhaps answered costs money: it is never made twice.
        answer = pool.request(
            "POST", url, body=json.dumps(body).encode(), headers=headers, retries=False, preload_content=False
        )
        try:
            if answer.status != _HTTP_OK:
                said = answer.read(_PIECE).decode(errors="replace")[:_SHOWN_ERROR].strip()
                return f"the model's endpoint answered {answer.status}: {said}"
            if body["stream"]:
                return _print_stream(answer, line, io, thinking=thinking)
            message = json.loads(answer.read())["choices"][0]["message"]
            line.write(io.stdout, f"{_text(message, thinking=thinking)}\n".encode())
        except (KeyError, IndexError, TypeError) as error:
            return f"the model's endpoint sent something else than a chat answer: {error}"
        finally:
            answer.close()
    return ""


def _text(part: dict[str, Any], *, thinking: bool) -> str:
    thought = part.get("reasoning_content") or part.get("reasoning") or ""
    return (str(thought) if thinking else "") + str(part.get("content") or "")


def _print_stream(answer: urllib3.BaseHTTPResponse, line: Line, io: StepIO, *, thinking: bool) -> str:
    finished = False
    for event in _events(answer):
        if event == "[DONE]":
            finished = True
            break
        found = json.loads(event)
        if "error" in found:
            return f"the model's endpoint sent an error: {found['error']}"
        for choice in found.get("choices") or ():
            if text := _text(choice.get("delta") or {}, thinking=thinking):
                line.write(io.stdout, text.encode(errors="replace"))
            finished = finished or bool(choice.get("finish_reason"))
    line.write(io.stdout, b"\n")
    return "" if finished else "the answer broke off"


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
