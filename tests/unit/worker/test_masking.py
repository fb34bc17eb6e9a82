"""Secret values are masked, however the stream is split."""

import base64
import hashlib
import html
import json
import shlex
import string
import textwrap
from collections.abc import Callable
from itertools import pairwise
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.worker.output import masking
from services.worker.output.masking import Masker
from services.worker.output.secret_forms import forms_of
from tests.harness.cpu_time import within_cpu_time

_TEXT = st.text("ab\n", max_size=40)


@pytest.fixture(params=["few short forms", "many long forms"])
def size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few short forms and many long ones, which are looked for in other ways (parametrised)."""
    if request.param == "many long forms":
        monkeypatch.setattr(masking, "_FEW", 1)
        monkeypatch.setattr(masking, "_LONG", 3)
        monkeypatch.setattr(masking, "_LONG_COMPARISONS", 2)


_SAME_SIZE = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
"""The fixture has the same effect on each example."""


def longest_from_the_left(secrets: list[str], text: str) -> str:
    """Mask in the plainest way."""
    data, at = text.encode(), 0
    forms = frozenset[bytes]().union(*map(forms_of, secrets))
    shown = b""
    while at < len(data):
        found = max((len(form) for form in forms if data.startswith(form, at)), default=0)
        shown += b"*******" if found else data[at : at + 1]
        at += found or 1
    return shown.decode()


@pytest.mark.usefixtures("size")
@_SAME_SIZE
@given(st.lists(st.text("ab", max_size=14), max_size=4), st.text("ab", max_size=60))
def test_what_is_masked_is_the_longest_form_at_each_place(secrets: list[str], text: str) -> None:
    assert Masker(secrets).text(text) == longest_from_the_left(secrets, text)


@pytest.mark.usefixtures("size")
@_SAME_SIZE
@given(st.lists(st.text("ab", max_size=14), max_size=4), _TEXT, st.lists(st.integers(0, 40), max_size=6))
def test_masking_does_not_depend_on_how_the_stream_is_split(secrets: list[str], text: str, cuts: list[int]) -> None:
    data = text.encode()
    masker = Masker(secrets)
    edges = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    pieces = [masker.feed(data[start:end]) for start, end in pairwise(edges)]

    assert b"".join(pieces) + masker.close() == Masker(secrets).text(text).encode()
    assert not any(secret and secret.encode() in b"".join(pieces) for secret in secrets)


def test_only_what_may_begin_a_secret_is_held_back() -> None:
    masker = Masker(["hunter2", "a-much-longer-secret-value"])

    assert masker.feed(b"progress 10%") == b"progress 10%"
    assert masker.feed(b" hunt") == b" "
    assert masker.feed(b"ing") == b"hunting"
    assert masker.feed(b" hunter") == b" "
    assert masker.feed(b"2!") == b"*******!"
    assert masker.close() == b""


def test_the_longest_value_wins_and_empty_ones_mask_nothing() -> None:
    assert Masker(["ab", "abc", ""]).text("xabcab") == "x**************"


TOKEN = "p@ss \"w&rd'$/+<é>?~1"
KEY = "-----BEGIN KEY-----\nMIIEvQIBADANBgkq/+hk\n\tiG9w0BAQEFAASC'\"&\nshort\n-----END KEY-----"
DOTNET = {
    TOKEN: r"p@ss \u0022w\u0026rd\u0027$/\u002B\u003C\u00E9\u003E?~1",
    KEY: r"-----BEGIN KEY-----\nMIIEvQIBADANBgkq/\u002Bhk\n\tiG9w0BAQEFAASC\u0027\u0022\u0026"
    r"\nshort\n-----END KEY-----",
}
"""What System.Text.Json makes of both."""
FORMS: dict[str, Callable[[str], str]] = {
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 after one byte": lambda text: base64.b64encode(b"x" + text.encode()).decode(),
    "base64 after two bytes": lambda text: base64.b64encode(b"xx" + text.encode()).decode(),
    "base64 with more after it": lambda text: base64.b64encode(text.encode() + b"xx").decode(),
    "url-safe base64": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "base64 in lines": lambda text: base64.encodebytes(text.encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "upper-case hex": lambda text: text.encode().hex().upper(),
    "url": lambda text: quote(text, safe=""),
    "url path": quote,
    "url query": quote_plus,
    "json": lambda text: json.dumps(text)[1:-1],
    "json with all characters": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "html": html.escape,
    "html text": lambda text: html.escape(text, quote=False),
    "shell quotes": lambda text: shlex.quote(text)[1:-1],
    "hex with spaces": lambda text: text.encode().hex(" "),
    "upper-case hex with colons": lambda text: text.encode().hex(":").upper(),
    "hex escapes": lambda text: "".join(f"\\x{byte:02x}" for byte in text.encode()),
    "base32": lambda text: base64.b32encode(text.encode()).decode(),
    "base32 after three bytes": lambda text: base64.b32encode(b"xxx" + text.encode()).decode(),
    "json in json": lambda text: json.dumps(json.dumps({"a": text}))[11:-4],
    "json in json with all characters": lambda text: json.dumps(
        json.dumps(text, ensure_ascii=False), ensure_ascii=False
    )[3:-3],
    "gson": lambda text: json.dumps(text)[1:-1].translate({ord(each): f"\\u{ord(each):04x}" for each in "<>&='"}),
    "dotnet": lambda text: DOTNET[text],
    "url twice": lambda text: quote(quote(text, safe=""), safe=""),
    "python": lambda text: repr(text)[1:-1],
    "python ascii": lambda text: ascii(text)[1:-1],
    "indented": lambda text: textwrap.indent(text, "    "),
    "crlf": lambda text: text.replace("\n", "\r\n"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("secret", [TOKEN, KEY], ids=["token", "key"])
def test_each_form_of_a_secret_is_masked_also_across_reads(secret: str, form: str) -> None:
    written = FORMS[form](secret).encode()
    masker = Masker([secret])
    shown = b"".join(masker.feed(bytes([byte])) for byte in b"<" + written + b">") + masker.close()

    assert b"*******" in shown
    rest = shown.replace(b"*******", b"").replace(b"=", b"")
    # Base64 and base32 mix the bytes beside the secret into their characters. An indented line may be too short.
    most = len("    ") * 5 + len("short") + 5 if form == "indented" else len("PB4HQ2")
    assert len(rest) <= len("<>") + most, shown


@pytest.mark.parametrize("length", [76, 64, 60])
def test_a_secret_is_masked_wherever_the_lines_of_a_longer_encoded_text_break_it(length: int) -> None:
    """As in ``printf 'x-access-token:%s' "$TOKEN" | base64``."""
    secret = "github_pat_" + string.ascii_letters + string.digits
    masker = Masker([secret])

    for size in range(length):
        text = b"#" * size + secret.encode()
        encoded = text.hex() if length == 60 else base64.b64encode(text).decode()
        shown = masker.text("\n".join(encoded[at : at + length] for at in range(0, len(encoded), length)))
        before = len(encoded) * size // len(text)
        # Base64 mixes the bytes beside the secret into its characters.
        assert len(shown.replace("*******", "").replace("\n", "").replace("=", "")) <= before + 3, shown


def test_each_line_of_a_secret_is_masked_if_it_has_eight_characters() -> None:
    shown = Masker([KEY]).text("short\n  MIIEvQIBADANBgkq/+hk\r\n-----END KEY----- -----END")

    assert shown == "short\n  *******\r\n******* -----END"


def test_many_secrets_do_not_slow_a_log_down() -> None:
    masker = Masker(f"{number:x}-{number * 7919:x}'s-secret-{number}" for number in range(1000))

    with within_cpu_time(1):  # at least 1 MB/s
        for _ in range(32):
            masker.feed(b"2026-11-27 04:11 GET /api/v2/dag-runs took 0.1 s aGVsbG8gd29ybGQ=\n" * 500)


@pytest.mark.parametrize("alike", [False, True], ids=["all lines different", "one character again and again"])
def test_a_large_secret_takes_time_by_its_size_and_not_by_its_square(alike: bool) -> None:
    digests = (hashlib.sha256(b"%d" % number).hexdigest() for number in range(2048))
    secret = "a" * (160 << 10) if alike else "\n".join(digests)
    log = f"<{secret}>{secret[:-1]}<{secret}>".encode()

    with within_cpu_time(12):
        masker = Masker([secret])
        shown = b"".join(masker.feed(log[at : at + 65_536]) for at in range(0, len(log), 65_536)) + masker.close()

    assert shown.startswith(b"<*******>")
    assert shown.endswith(b"<*******>")
    assert len(shown) < len(log) / 2


def test_only_the_exact_text_of_a_short_secret_is_masked() -> None:
    assert Masker(["ab"]).text("ab YWI= 6162 abc") == "******* YWI= 6162 *******c"


@given(st.lists(st.sampled_from(["ab", "abcdefgh", "abcdefghij", "bcdefghijklm", KEY]), max_size=3), st.data())
def test_forms_and_longer_values_do_not_depend_on_the_split(secrets: list[str], data: st.DataObject) -> None:
    words = st.sampled_from(
        ["ab", "abcdefg", "hij", "klm", KEY[:30], KEY[30:], base64.b64encode(KEY.encode()).decode()]
    )
    text = "".join(data.draw(st.lists(words, max_size=6))).encode()
    masker = Masker(secrets)
    size = data.draw(st.integers(1, 20))
    pieces = [masker.feed(text[at : at + size]) for at in range(0, len(text), size)]

    assert b"".join(pieces) + masker.close() == Masker(secrets).text(text.decode()).encode()
