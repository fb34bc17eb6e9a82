"""The list of contents has every pinned package, once, with all hashes that an installation accepts."""

import re

from scripts.sbom import LOCKS, ROOT, bill_of_materials


def test_every_pin_of_the_locks_is_a_component_with_its_hashes() -> None:
    listed = bill_of_materials()["components"]

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
