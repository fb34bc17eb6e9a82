"""The list of contents has every pinned package, once, with all hashes that an installation accepts."""

import json
import re
from typing import Any

from scripts.sbom import EDITOR_LOCK, LOCKS, ROOT, bill_of_materials


def components(kind: str) -> list[dict[str, Any]]:
    return [each for each in bill_of_materials()["components"] if each["purl"].startswith(f"pkg:{kind}/")]


def test_every_pin_of_the_locks_is_a_component_with_its_hashes() -> None:
    listed = components("pypi")

    texts = {lock: (ROOT / lock).read_text() for lock in LOCKS}
    pinned = {match for text in texts.values() for match in re.findall(r"^(\S+)==(\S+)", text, re.MULTILINE)}
    assert {(each["name"], each["version"]) for each in listed} == pinned
    assert len(listed) == len(pinned) > 20
    hashes = {each["content"] for component in listed for each in component["hashes"]}
    assert hashes == {match for text in texts.values() for match in re.findall(r"sha256:(\w+)", text)}
    assert all(component["hashes"] for component in listed)


def test_what_only_some_steps_need_is_optional() -> None:
    scopes = {each["name"]: each["scope"] for each in bill_of_materials()["components"]}

    assert scopes["flask"] == "required"
    assert "optional" in scopes.values()


def test_what_is_bundled_into_the_pages_is_a_component_and_what_bundles_it_is_not() -> None:
    listed = {each["name"]: each for each in components("npm")}

    assert {"@codemirror/view", "@codemirror/lang-yaml", "@lezer/yaml", "style-mod"} <= set(listed)
    assert "esbuild" not in listed
    assert listed["style-mod"]["purl"] == f"pkg:npm/style-mod@{listed['style-mod']['version']}"
    for each in listed.values():
        (only,) = each["hashes"]
        assert only["alg"] == "SHA-512"
        assert len(only["content"]) == 128


def test_the_lock_of_the_editor_has_a_hash_for_each_package_and_names_no_registry() -> None:
    packages = json.loads((ROOT / EDITOR_LOCK).read_text())["packages"]

    assert [path for path, package in packages.items() if path and "integrity" not in package] == []
    assert [path for path, package in packages.items() if "resolved" in package] == []
