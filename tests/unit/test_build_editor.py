"""The editor of the web pages is bundled where npm can do it; where it cannot, the build goes on."""

import json
import os
import sys
from pathlib import Path

import pytest

import scripts.build_editor
from hatch_build import EditorHook
from scripts.build_editor import build_editor
from services.api.ui.page_script import bundle_name, page_script

NPM = """#!{python}
import json, os, sys
with open({log!r}, "a") as log:
    log.write(json.dumps([sys.argv[1:], os.environ["npm_config_fetch_retries"]]) + "\\n")
sys.stderr.write("npm error code EAI_AGAIN\\nnpm error request to https://npm.example/x failed, reason: EAI_AGAIN\\n")
sys.exit(1)
"""


@pytest.fixture(autouse=True)
def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "editor"
    (folder / "src").mkdir(parents=True)
    for name in ("package-lock.json", "build.mjs"):
        (folder / name).touch()
    monkeypatch.setattr(scripts.build_editor, "EDITOR", folder)
    monkeypatch.setattr(scripts.build_editor, "BUNDLE", tmp_path / "editor.js")
    monkeypatch.setenv("PATH", str(tmp_path))
    return folder


def test_a_bundle_of_the_pages_is_used_only_while_it_is_of_their_present_modules(tmp_path: Path) -> None:
    web = tmp_path / "web"
    (web / "views").mkdir(parents=True)
    (web / "built").mkdir()
    (web / "main.js").write_text("export const one = 1;")
    (web / "views/home.js").write_text("export const two = 2;")
    assert page_script(web) == "main.js"

    (web / "built" / bundle_name(web)).touch()
    assert page_script(web) == f"built/{bundle_name(web)}"

    (web / "views/home.js").write_text("export const two = 3;")
    assert page_script(web) == "main.js"


@pytest.fixture
def tried(tmp_path: Path) -> Path:
    """Install an npm that reaches no registry; return the file with its calls."""
    log, npm = tmp_path / "calls", tmp_path / "npm"
    npm.write_text(NPM.format(python=sys.executable, log=str(log)))
    npm.chmod(0o755)
    return log


def test_without_npm_a_line_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert build_editor() is False

    assert capsys.readouterr().err == (
        "The web pages get a plain editor: npm is not installed (`make setup` tries again)\n"
    )


def test_what_the_pages_do_with_older_bundles_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "editor.js").touch()
    os.utime(tmp_path / "editor.js", (0, 0))
    assert build_editor() is True
    assert capsys.readouterr().err.startswith("The web pages load their modules one by one: ")

    (tmp_path / bundle_name(scripts.build_editor.WEB)).touch()
    assert build_editor() is True
    assert capsys.readouterr().err.startswith("The web pages keep an earlier editor: ")


def test_without_a_registry_npm_gives_up_soon_and_one_line_says_why(
    tried: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build_editor() is False

    assert [json.loads(line) for line in tried.read_text().splitlines()] == [[["ci"], "1"]]
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "npm ci failed: request to https://npm.example/x failed, reason: EAI_AGAIN" in said


def test_an_editable_installation_bundles_nothing(tried: Path, tmp_path: Path) -> None:
    hook = EditorHook(str(Path(scripts.build_editor.__file__).parents[1]), {}, None, None, str(tmp_path), "wheel")  # type: ignore[arg-type]
    hook.initialize("editable", {})
    assert not tried.exists()

    hook.initialize("standard", {})
    assert tried.exists()
