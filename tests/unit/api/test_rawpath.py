from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

import pytest
from werkzeug.test import create_environ

from services.api.serving.raw_path import RawPath, SegmentConverter


def rewritten(raw: str, *, base_path: str = "", keep_raw: bool = True, sent: str = "") -> tuple[str, str]:
    """Return the (SCRIPT_NAME, PATH_INFO) that the application gets. ``sent``: the raw path, if it is not ``raw``."""
    seen: list[tuple[str, str]] = []

    def app(environ: dict[str, Any], start_response: object) -> Iterable[bytes]:
        path = environ["PATH_INFO"].encode("latin-1").decode()
        seen.append((environ.get("SCRIPT_NAME", ""), path))
        return []

    environ = create_environ(raw)
    if not keep_raw:
        del environ["RAW_URI"], environ["REQUEST_URI"]
    if sent:
        environ["RAW_URI"] = sent.encode().decode("latin-1")
    RawPath(app, base_path)(environ, lambda *_: lambda _: None)
    return seen[0]


def decoded(segment: str) -> str:
    return str(SegmentConverter.to_python(None, segment))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["a/b", "ok?", "100%", "%2F", "a b", "ä→b", "x#y", "..", "steps/x"])
def test_a_step_name_survives_the_way_whatever_it_holds(name: str) -> None:
    _, path = rewritten(f"/api/v2/dag-runs/d/r/steps/{quote(name, safe='')}/log?tail=1")

    before, _, rest = path.partition("/steps/")
    assert before == "/api/v2/dag-runs/d/r"
    assert decoded(rest.removesuffix("/log")) == name


@pytest.mark.parametrize("after", ["log", "log/search", "log/download", "status"])
def test_plain_slashes_are_recognised_before_a_fixed_word(after: str) -> None:
    _, path = rewritten(f"/api/v2/dag-runs/d/r/steps/a/b/{after}")

    assert path == f"/api/v2/dag-runs/d/r/steps/a%2Fb/{after}"


def test_a_letter_may_be_sent_unescaped() -> None:
    assert rewritten("/api/v2/dags/ä%2Fb", sent="/api/v2/dags/ä%2Fb")[1] == "/api/v2/dags/ä%2Fb"


def test_without_the_raw_path_the_decoded_one_is_used() -> None:
    _, path = rewritten("/api/v2/dag-runs/d/r/steps/a%2Fb%25/status", keep_raw=False)

    assert path == "/api/v2/dag-runs/d/r/steps/a%2Fb%25/status"


def test_the_base_path_becomes_the_script_name() -> None:
    assert rewritten("/dagu/api/v2/health", base_path="/dagu") == ("/dagu", "/api/v2/health")
    assert rewritten("/dagu", base_path="/dagu") == ("/dagu", "/")
    assert rewritten("/dagux/api", base_path="/dagu") == ("", "/dagux/api")


def test_a_raw_path_that_does_not_fit_the_decoded_one_is_not_trusted() -> None:
    seen: list[str] = []

    def app(environ: dict[str, Any], start_response: object) -> Iterable[bytes]:
        seen.append(environ["PATH_INFO"])
        return []

    environ = create_environ("/real") | {"RAW_URI": "/forged", "REQUEST_URI": "/forged"}
    RawPath(app)(environ, lambda *_: lambda _: None)

    assert seen == ["/real"]
