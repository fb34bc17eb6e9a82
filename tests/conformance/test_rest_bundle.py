"""The page and the files of another front end's bundle."""

import base64
import gzip
import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from services.api.app import create_app
from services.api.settings import RemoteNode, Settings
from tests.conformance.rest_stack import Stack, open_stack

SCRIPT = "const texts = {};\n" * 500
HOSTILE = '</script><script>alert(1)</script> & "quoted"'
PATHS = {
    "dagsDir",
    "logDir",
    "suspendFlagsDir",
    "adminLogsDir",
    "baseConfig",
    "dagRunsDir",
    "queueDir",
    "procDir",
    "serviceRegistryDir",
    "configFileUsed",
    "usersDir",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    assets = tmp_path / "bundle" / "assets"
    assets.mkdir(parents=True)
    (assets / "bundle.js").write_text(SCRIPT)
    (assets / "1.bundle.js").write_text("1")
    (assets / "style.css").write_text("a{}")
    (assets / "letters.woff2").write_bytes(b"\0" * 2000)
    (assets / "letters.ttf").write_bytes(b"\0" * 2000)
    (assets / "favicon.ico").write_bytes(b"\0\0")
    return assets.parent


@pytest.fixture
def stack(tmp_path: Path, folder: Path) -> Iterator[Stack]:
    with open_stack(tmp_path, settings=Settings(ui_dir=folder)) as opened:
        yield opened


def told(client: FlaskClient, path: str = "/") -> dict[str, Any]:
    """Return the result of the page's ``getConfig()``, one JSON object."""
    page = client.get(path).get_data(as_text=True)
    [found] = re.findall(r"<script>function getConfig\(\) \{ return (.*?); \}</script>", page)
    value: dict[str, Any] = json.loads(found)
    return value


def asset(stack: Stack, name: str, **headers: str) -> TestResponse:
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return stack.client.get(f"/assets/{name}", headers=named, buffered=True)


def test_the_page_config_has_all_required_fields(stack: Stack) -> None:
    config = told(stack.client)

    paths = config.pop("paths")
    assert set(paths) == PATHS
    assert all(isinstance(value, str) for value in paths.values())
    assert config == {
        "apiURL": "/api/v2",
        "basePath": "",
        "title": "Dagu",
        "navbarColor": "",
        "version": "1.2.3",
        "tz": "UTC",
        "tzOffsetInSec": 0,
        "maxDashboardPageLimit": "100",
        "remoteNodes": "",
        "authMode": "none",
        "permissions": {"writeDags": True, "runDags": True},
    }


def test_settings_change_the_page_config(tmp_path: Path, folder: Path) -> None:
    nodes = tuple(RemoteNode(name=name, api_base_url="http://127.0.0.1:1/api/v2") for name in ("prod", "lab"))
    settings = Settings(
        ui_dir=folder,
        auth_mode="builtin",
        token_secret="s" * 40,
        write_dags=False,
        run_dags=False,
        remote_nodes=nodes,
        navbar_title="Ours",
        navbar_color="#c00",
        base_config=Path("/etc/base.yaml"),
    )
    with open_stack(tmp_path, settings=settings, base_path="/flows") as stack:
        config = told(stack.client, "/flows/dags")
        page = stack.client.get("/flows/").get_data(as_text=True)

    assert config["apiURL"] == "/flows/api/v2"
    assert config["basePath"] == "/flows"
    assert (config["title"], config["navbarColor"]) == ("Ours", "#c00")
    assert config["remoteNodes"] == "prod,lab"
    assert config["authMode"] == "builtin"
    assert config["permissions"] == {"writeDags": False, "runDags": False}
    assert config["paths"]["baseConfig"] == "/etc/base.yaml"
    assert 'src="/flows/assets/bundle.js?v=1.2.3"' in page
    assert 'href="/flows/assets/favicon.ico"' in page
    assert '<div id="root"></div>' in page


def test_the_page_runs_no_other_inline_script_and_cannot_be_framed(stack: Stack) -> None:
    response = stack.client.get("/dags")

    policy = dict(part.split(" ", 1) for part in response.headers["Content-Security-Policy"].split("; "))
    inline = re.findall(r"<script>(.*?)</script>", response.get_data(as_text=True))
    digests = [base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in inline]
    assert policy["script-src"].split() == ["'self'", "'unsafe-eval'", *(f"'sha256-{each}'" for each in digests)]
    assert policy["frame-ancestors"] == policy["object-src"] == "'none'"
    assert policy["default-src"] == "'self'"


@pytest.mark.parametrize(
    ("zone", "name", "offset_s"), [("Etc/UTC", "UTC", 0), ("Asia/Tokyo", "Asia/Tokyo", 32_400), ("UTC", "UTC", 0)]
)
def test_the_zone_is_named_as_people_know_it(stack: Stack, zone: str, name: str, offset_s: int) -> None:
    app = create_app(replace(stack.deps, settings=Settings(zone=ZoneInfo(zone))))

    config = told(app.test_client())

    assert (config["tz"], config["tzOffsetInSec"]) == (name, offset_s)


def test_texts_of_the_settings_are_escaped_in_the_page(tmp_path: Path, folder: Path) -> None:
    with open_stack(tmp_path, settings=Settings(ui_dir=folder, navbar_title=HOSTILE)) as stack:
        page = stack.client.get("/").get_data(as_text=True)
        assert told(stack.client)["title"] == HOSTILE

    assert page.count("<script") == 3
    assert page.count("</script>") == 3
    assert "<title>&lt;/script&gt;" in page


@pytest.mark.parametrize(
    "path", ["/", "/dags", "/dags/etl.yaml/spec", "/dag-runs/etl/1?subDAGRunId=2", "/login", "/no"]
)
def test_unknown_paths_serve_the_page(stack: Stack, path: str) -> None:
    response = stack.client.get(path)

    assert (response.status_code, response.mimetype) == (200, "text/html")
    assert response.headers["Cache-Control"] == "no-store"
    assert b"getConfig" in response.data


@pytest.mark.parametrize("path", ["/api", "/api/v2/nope", "/assets/none.js", "/assets/../bundle.js"])
def test_a_missing_asset_is_not_answered_by_the_page(stack: Stack, path: str) -> None:
    response = stack.client.get(path)

    assert response.status_code == 404
    assert b"getConfig" not in response.data


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("bundle.js", "text/javascript"),
        ("1.bundle.js", "text/javascript"),
        ("style.css", "text/css"),
        ("letters.woff2", "font/woff2"),
        ("letters.ttf", "font/ttf"),
        ("favicon.ico", "image/x-icon"),
        ("dag.schema.json", "application/json"),
    ],
)
def test_assets_have_their_types_and_are_kept_by_browsers(stack: Stack, name: str, media_type: str) -> None:
    response = asset(stack, f"{name}?v=1.2.3")

    assert (response.status_code, response.mimetype) == (200, media_type)
    assert re.fullmatch(r"max-age=\d+", response.headers["Cache-Control"])


def test_a_bundle_is_compressed_for_clients_that_accept_it(stack: Stack, folder: Path) -> None:
    plain = asset(stack, "bundle.js")
    packed = asset(stack, "bundle.js", Accept_Encoding="gzip, deflate, br")

    assert plain.get_data(as_text=True) == SCRIPT
    assert "Content-Encoding" not in plain.headers
    assert gzip.decompress(packed.data).decode() == SCRIPT
    assert packed.headers["Content-Encoding"] == "gzip"
    assert int(packed.headers["Content-Length"]) == len(packed.data) < len(SCRIPT) / 3
    assert packed.mimetype == "text/javascript"
    assert plain.headers["Vary"] == packed.headers["Vary"] == "Accept-Encoding"
    assert plain.headers["ETag"] != packed.headers["ETag"]

    asked = {"Accept_Encoding": "gzip", "If_None_Match": packed.headers["ETag"]}
    assert asset(stack, "bundle.js", **asked).status_code == 304

    # A new bundle in its place is seen at once by whoever asks.
    (folder / "assets/bundle.js").write_text(SCRIPT + "new();")
    os.utime(folder / "assets/bundle.js", (1, 1))
    again = asset(stack, "bundle.js", **asked)
    assert gzip.decompress(again.data).decode().endswith("new();")


@pytest.mark.parametrize("name", ["letters.ttf", "1.bundle.js"])
def test_files_that_would_not_shrink_are_not_compressed(stack: Stack, name: str) -> None:
    response = asset(stack, name, Accept_Encoding="gzip")

    assert response.status_code == 200
    assert "Content-Encoding" not in response.headers
