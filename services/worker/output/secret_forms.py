"""The texts in which a secret value shows in output: itself, and what common programs make of it."""

import base64
import html
import json
import re
import shlex
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

__all__ = ["forms_of"]

_SHORTEST = 8
"""Characters of the shortest form that is masked, besides the value itself: shorter ones occur by chance."""
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_LINE_LENGTHS = (76, 64, 60)
"""After how many characters ``base64``, ``openssl`` and ``xxd`` begin a new line."""
_MOST_WITHIN = 1024
"""Bytes of the longest secret that is masked in the lines of a longer text: each place in a line is a form more."""
_NOT_PLAIN = re.compile(r"[^\w !#$%()*,./:;=?@\[\]^{|}~-]", re.ASCII)
"""Characters that System.Text.Json may write in another way."""
_JAVASCRIPT_SAFE = ("!'()*", "!'()*;,/?:@&=+$#")
"""Characters that ``encodeURIComponent`` and ``encodeURI`` leave unchanged, and Python does not by itself."""


def forms_of(secret: str) -> frozenset[bytes]:
    """Return the texts to mask for ``secret``; empty for an empty one.

    They are its exact bytes, however short; and, of at least 8 characters each, its lines, its base64 (standard and
    URL-safe) and base32, wherever it begins within the encoded text, its hex digits, also with separators, the lines
    of base64 and hex digits, and its forms in URLs and JSON (also quoted twice), HTML, shells and Python.
    """
    raw = _bytes(secret)
    if not raw:
        return frozenset()
    derived = {*_encoded(raw), *_escaped(secret)}
    lines = [line.strip() for line in re.split(r"[\r\n]+", secret.strip())]
    if len(lines) > 1:
        with_crlf = "\r\n".join(re.split(r"\r?\n", secret))
        for text in (with_crlf, *lines):
            derived |= {_bytes(text), *_escaped(text)}
    return frozenset({raw, *(form for form in derived if len(form) >= _SHORTEST)})


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


def _encoded(raw: bytes) -> Iterator[bytes]:
    texts = [raw.hex().encode(), raw.hex().upper().encode()]
    if len(raw) <= _MOST_WITHIN:
        for text in texts:
            yield from _within_lines(text, 60, range(0, 60, 2))
    for separated in (raw.hex(" "), raw.hex(":"), raw.hex("-"), "".join(f"\\x{byte:02x}" for byte in raw)):
        yield separated.encode()
        # ``\\X70`` is no escape.
        yield separated.upper().replace("X", "x").encode()
    for before in range(5):
        encoded = base64.b32encode(bytes(before) + raw).rstrip(b"=")
        yield encoded[-(-before * 8 // 5) : (before + len(raw)) * 8 // 5]
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + raw).rstrip(b"=")
        # The first characters also depend on the bytes before the secret, and the last may on those after it.
        first = -(-before * 8 // 6)
        whole = (before + len(raw)) * 8 // 6
        for text in {encoded[first:], encoded[first:whole]}:
            texts += (text, text.translate(_URL_SAFE))
            if len(raw) <= _MOST_WITHIN:
                for length in (76, 64):
                    yield from _within_lines(text, length, range(first, length, 4))
    for text in texts:
        yield text
        for length in _LINE_LENGTHS:
            lines = [text[at : at + length] for at in range(0, len(text), length)]
            if len(lines) > 1:
                yield b"\n".join(lines)
                yield from lines


def _within_lines(text: bytes, length: int, places: Iterable[int]) -> Iterator[bytes]:
    """Yield ``text`` as it is in lines of a longer text, in which it begins at one of these places of a line."""
    for place in places:
        first = length - place
        if first < len(text):
            yield b"\n".join((text[:first], *(text[at : at + length] for at in range(first, len(text), length))))


def _escaped(text: str) -> Iterator[bytes]:
    in_url, in_json = set(_in_url(_bytes(text))), set(_in_json(text))
    # In a text that is quoted again: JSON in a field of JSON, an address in a parameter of another.
    twice = {json.dumps(form, ensure_ascii=only_ascii)[1:-1] for form in in_json for only_ascii in (True, False)}
    twice |= {quote(form, safe="") for form in in_url}
    for form in (*in_url, *in_json, *twice, *_in_html(text), *_in_shell(text), repr(text)[1:-1], ascii(text)[1:-1]):
        yield _bytes(form)


def _in_url(raw: bytes) -> Iterator[str]:
    for form in (quote_plus(raw), *(quote(raw, safe) for safe in ("", "/", *_JAVASCRIPT_SAFE))):
        yield form
        yield re.sub("%..", lambda found: found[0].lower(), form)


def _in_json(text: str) -> Iterator[str]:
    for only_ascii in (True, False):
        form = json.dumps(text, ensure_ascii=only_ascii)[1:-1]
        yield form
        yield form.replace("/", "\\/")
        # As Go writes it, and Gson for Java.
        as_go = form.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
        yield as_go
        yield as_go.replace("=", "\\u003d").replace("'", "\\u0027")
    yield _NOT_PLAIN.sub(lambda found: _as_dotnet(found[0]), text)


def _as_dotnet(character: str) -> str:
    """Return a character as System.Text.Json writes it."""
    if character in "\"'<>&+`":
        return f"\\u{ord(character):04X}"
    return re.sub(r"u[0-9a-f]{4}", lambda found: "u" + found[0][1:].upper(), json.dumps(character)[1:-1])


def _in_html(text: str) -> Iterator[str]:
    tags = html.escape(text, quote=False)
    yield tags
    yield tags.replace('"', "&quot;")
    for double, single in (("&quot;", "&#x27;"), ("&quot;", "&#39;"), ("&#34;", "&#39;"), ("&quot;", "&apos;")):
        yield tags.replace('"', double).replace("'", single)


def _in_shell(text: str) -> Iterator[str]:
    yield shlex.quote(text)[1:-1] if shlex.quote(text) != text else text
    yield text.replace("'", "'\\''")
    yield re.sub(r'([$`"\\])', r"\\\1", text)
    # As bash prints it by printf %q and in $'...'.
    yield re.sub(r"([^\w@%+=:,./-])", r"\\\1", text)
    yield re.sub(r"([\\'])", r"\\\1", text).replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
