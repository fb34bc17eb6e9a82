"""A base configuration is frozen with a run; sub-runs inherit it, except its handlers."""

from pathlib import Path

import pytest

from tests.acceptance.world import Case, Seen, World

BASE = """
env: [{R: eu}, {S: base}]
tags: shared
histRetentionDays: 90
shell: bash
handlerOn: {exit: {command: echo base-exit}, success: {command: echo base-success}}
"""
SPEC = """
env: [{S: x}]
histRetentionDays: 5
handlerOn: {success: {command: echo own-success}}
steps:
  - echo $R $S
  - "a=(1 2); echo ${#a[@]}"
  - call: sub
---
name: sub
steps: [echo sub-$R]
"""


def test_a_run_and_its_sub_runs_inherit_the_base_configuration(
    deployment: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHELL", "/bin/sh")
    world = World(*deployment, tmp_path / "world", base_config=BASE)
    case = Case("A29", "base config", SPEC, lambda seen: None)
    try:
        world.begin(case)
        seen = world.ended(case)
        assert seen.status == "succeeded", seen.nodes
        assert seen.out("cmd_1") == "eu x"
        assert seen.out("cmd_2") == "2"
        assert (seen.out("onSuccess"), seen.out("onExit")) == ("own-success", "base-exit")
        _check_child(seen)
    finally:
        world.close()


def _check_child(seen: Seen) -> None:
    (child,) = seen.children()
    assert child.out("cmd_1") == "sub-eu"
    assert {row["kind"] for row in child.nodes.values()} == {"step"}
