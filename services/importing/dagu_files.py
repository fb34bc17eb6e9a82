"""The JSON files in the data folder of Dagu 1.30 and 2, as models.

The facts are from homes that Dagu 1.30.2 has written; those about Dagu 2 are from its documentation. Fields that Dagway
has no use for are left out. Go writes empty lists and maps as ``null``, and a time that is not set as ``""``, ``-`` or
in the year 1.
"""

import base64
import re
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel

from services.scheduler.deciding.dag_folder.dag_files import text_of
from shared.contracts import report_values
from shared.status import NODE_LABELS, RUN_LABELS, NodeStatus, RunStatus

__all__ = ["ApiKeyFile", "AttemptFile", "DagFile", "NodeFile", "UserFile", "WebhookFile", "read_file"]

F = TypeVar("F", bound=BaseModel)
_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_LAST_MS = 32_503_679_999_999
"""The end of the year 2999, the last that a report may have."""

_RUN = dict(enumerate(map(RunStatus, RUN_LABELS)))
_NODE = dict(enumerate(map(NodeStatus, NODE_LABELS)))

_NO_TIMES = ("", "-", "0001-01-01T00:00:00Z")
# Steps could write these files too, and no database stores what a report of a step cannot have.
Time = Annotated[report_values.Time | None, BeforeValidator(lambda value: None if value in _NO_TIMES else value)]
_Text = Annotated[str, BeforeValidator(lambda value: "" if value is None else value)]


def read_file(model: type[F], data: bytes) -> F:
    """Return a JSON file as a model, without NUL, which Postgres cannot store. Raises ``ValidationError``."""
    return model.model_validate_json(_NUL.sub(rb"\1", data))


def _none_is_empty(value: Any) -> Any:
    return () if value is None else value


class _File(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)


class ConditionFile(_File):
    """A precondition. ``error``: why it was not met; empty if it was met."""

    error: _Text = ""


Conditions = Annotated[tuple[ConditionFile, ...], BeforeValidator(_none_is_empty)]


class ChildDag(_File):
    """The workflow that a step calls."""

    name: str = ""


class StepFile(_File):
    """A step of a run."""

    name: str
    child_dag: ChildDag | None = None
    preconditions: Conditions = ()


class ChildFile(_File):
    """A sub-run of a step."""

    dag_run_id: str
    params: _Text = ""


Children = Annotated[tuple[ChildFile, ...], BeforeValidator(_none_is_empty)]


class NodeFile(_File):
    """A step of a run, with its status and output. ``output_variables``: ``NAME=value`` by name."""

    step: StepFile
    stdout: _Text = ""
    stderr: _Text = ""
    started_at: Time = None
    finished_at: Time = None
    status: NodeStatus
    retry_count: report_values.Count = 0
    done_count: report_values.Count = 0
    error: _Text = ""
    output_variables: Annotated[Mapping[str, str], BeforeValidator(lambda value: value or {})] = Field(
        default_factory=dict
    )
    children: Children = ()
    children_repeated: Children = ()
    approved_at: Time = None
    approved_by: _Text = ""
    approval_inputs: Annotated[Mapping[str, str], BeforeValidator(lambda value: value or {})] = Field(
        default_factory=dict
    )
    rejected_at: Time = None
    rejected_by: _Text = ""
    rejection_reason: _Text = ""

    @field_validator("status", mode="before")
    @classmethod
    def _labelled(cls, value: Any) -> Any:
        return _NODE.get(value, value)

    @property
    def outputs(self) -> dict[str, str]:
        """The outputs by name, without what Dagu keeps there for itself."""
        return {
            name: pair.removeprefix(f"{name}=")
            for name, pair in self.output_variables.items()
            if not name.startswith("DAGU_CONTINUE_ON.")
        }


Nodes = Annotated[tuple[NodeFile, ...], BeforeValidator(_none_is_empty)]


class AttemptFile(_File):
    """The last line of ``status.jsonl``: one attempt of a run. ``created_at`` is in milliseconds since 1970."""

    name: str
    dag_run_id: str
    status: RunStatus
    nodes: Nodes = ()
    on_init: NodeFile | None = None
    on_exit: NodeFile | None = None
    on_success: NodeFile | None = None
    on_failure: NodeFile | None = None
    on_cancel: NodeFile | None = None
    on_wait: NodeFile | None = None
    created_at: int = Field(default=0, ge=0, le=_LAST_MS)
    queued_at: Time = None
    started_at: Time = None
    finished_at: Time = None
    error: _Text = ""
    params: _Text = ""
    params_list: Annotated[tuple[str, ...], BeforeValidator(_none_is_empty)] = ()
    preconditions: Conditions = ()

    @field_validator("status", mode="before")
    @classmethod
    def _labelled(cls, value: Any) -> Any:
        return _RUN.get(value, value)

    @property
    def handlers(self) -> dict[str, NodeFile]:
        """The handlers by the names that they have in a run."""
        every = (self.on_init, self.on_exit, self.on_success, self.on_failure, self.on_cancel, self.on_wait)
        return {each.step.name: each for each in every if each is not None}


class DagFile(_File):
    """``dag.json``: the workflow of a run, with its evaluated variables. ``yaml_data`` is its text in base64."""

    name: str = ""
    location: _Text = ""
    env: Annotated[tuple[str, ...], BeforeValidator(_none_is_empty)] = ()
    params_json: Annotated[str, BeforeValidator(lambda value: value or "")] = Field(default="", alias="paramsJSON")
    yaml_data: _Text = ""

    @property
    def text(self) -> str:
        """The text of the workflow. Raises ``ValueError`` if it is not base64."""
        return text_of(base64.b64decode(self.yaml_data, validate=True))


class _SnakeFile(BaseModel):
    """An account. Keys in camel case, as in the API of Dagu 2, are read too: a user who is disabled must stay so."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _in_snake_case(cls, value: Any) -> Any:
        return {_HUMP.sub("_", key).lower(): each for key, each in value.items()} if isinstance(value, dict) else value


class UserFile(_SnakeFile):
    """A user. The hash is bcrypt's; users that Dagu 2 knows by OIDC or a proxy have none."""

    id: str
    username: str
    role: str
    password_hash: _Text = Field(default="", repr=False)
    auth_provider: _Text = ""
    is_disabled: bool = False
    workspace_access: Any = None
    created_at: AwareDatetime
    updated_at: AwareDatetime


class ApiKeyFile(_SnakeFile):
    """An API key. The hash is bcrypt's."""

    id: str
    name: str
    description: _Text = ""
    role: str
    key_hash: str = Field(repr=False)
    key_prefix: str
    workspace_access: Any = None
    created_at: AwareDatetime
    updated_at: AwareDatetime
    created_by: _Text = ""
    last_used_at: Time = None


class WebhookFile(_File):
    """A webhook. The hash is bcrypt's; ``dag_name`` is the name of the workflow's file."""

    id: str
    dag_name: str
    token_hash: str = Field(repr=False)
    token_prefix: str
    enabled: bool = True
    created_at: AwareDatetime
    updated_at: AwareDatetime
    created_by: _Text = ""
    last_used_at: Time = None
