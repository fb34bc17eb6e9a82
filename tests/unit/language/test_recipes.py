"""Every recipe is a complete workflow that loads without a warning."""

import re
import subprocess
from pathlib import Path

import pytest

from shared.language.load import load

PAGE = (Path(__file__).parents[3] / "docs" / "recipes.md").read_text()
RECIPES = re.findall(r"^```yaml\n# (\S+\.yaml)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def test_every_section_of_the_page_is_a_recipe() -> None:
    assert (
        len(RECIPES) == len(re.findall(r"^## ", PAGE, re.MULTILINE)) == len(re.findall(r"^```\w", PAGE, re.MULTILINE))
    )


@pytest.mark.parametrize(("name", "text"), RECIPES, ids=[name for name, _ in RECIPES])
def test_a_recipe_loads(name: str, text: str) -> None:
    loaded = load(text, file_name=name)

    assert [str(issue) for issue in loaded.issues] == []
    assert all(dag.steps for dag in loaded.documents)


def test_a_run_that_is_caught_up_works_on_its_own_hour() -> None:
    (step,) = load(dict(RECIPES)["hourly.yaml"]).documents[0].steps

    said = subprocess.run(
        ["sh", "-e", "-c", step.script],
        env={"DAG_RUN_SCHEDULE_TIME": "2026-10-04T08:05:00Z", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert said.stdout == "importing the hour before 2026-10-04T08:05:00Z\n"
