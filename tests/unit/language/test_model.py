"""The classes of the model."""

from shared.language.model import ModelPart, build_validators


def test_a_gateway_builds_no_validator_in_a_thread() -> None:
    """There pydantic's lock would be one of gevent's, for which a real thread may wait for ever."""
    build_validators()

    parts = ModelPart.__subclasses__()
    assert [part.__name__ for part in parts if not part.__pydantic_complete__] == []
    assert {"Dag", "Step", "StepCommand"} <= {part.__name__ for part in parts}
    assert not [deeper for part in parts for deeper in part.__subclasses__()]
