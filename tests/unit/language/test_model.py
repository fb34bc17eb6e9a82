"""The classes of the model."""

from shared.language.model import ModelPart, build_validators


def test_no_validator_is_left_to_be_built_at_its_first_use() -> None:
    build_validators()

    parts = ModelPart.__subclasses__()
    assert [part.__name__ for part in parts if not part.__pydantic_complete__] == []
    assert {"Dag", "Step", "StepCommand"} <= {part.__name__ for part in parts}
    assert not [deeper for part in parts for deeper in part.__subclasses__()]
