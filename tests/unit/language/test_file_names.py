import pytest

from shared.language.file_names import without_extension


@pytest.mark.parametrize(
    ("name", "found"),
    [("a.yaml", "a"), ("sub/a.yml", "sub/a"), ("a.yml.yaml", "a.yml"), ("a.yaml.bak", "a.yaml.bak"), ("a", "a")],
)
def test_only_the_extension_goes(name: str, found: str) -> None:
    assert without_extension(name) == found
