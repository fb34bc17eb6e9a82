"""Tables of definitions: specs, DAGs and their versions, and files of the DAG folder that are not DAGs."""

from sqlalchemy import JSON, Boolean, ForeignKey, Index, Integer, String, Table, Text, func, text

from shared.store.functions import bytewise
from shared.store.tables.base import UTCDateTime, col, metadata

__all__ = ["callable_files", "dag_versions", "dags", "passed_over", "specs"]

specs = Table(
    "specs",
    metadata,
    col("hash", String(64), primary_key=True),
    col("yaml", Text),
    col("created_at", UTCDateTime),
    col("unused_since", UTCDateTime, nullable=True),
    comment="Spec texts by SHA-256: a run keeps the text it was created from, once however many runs",
)

dags = Table(
    "dags",
    metadata,
    col("file_name", String(200), primary_key=True),
    col("dag_name", String(200)),
    col("spec_hash", String(64), ForeignKey("specs.hash")),
    col("version", Integer),
    col("summary", JSON),
    col("tags", JSON),
    col("errors", JSON),
    col("suspended", Boolean, server_default=text("false")),
    col("folder_hash", String(64), nullable=True),
    col("judged_by", String(64), server_default=text("''")),
    col("created_at", UTCDateTime),
    col("updated_at", UTCDateTime),
    Index("ix_dags_dag_name", "dag_name"),
    comment="Definitions. folder_hash: what the followed folder last held, so that an edit by API stays. "
    "judged_by: the version of the scheduler that found these errors and this summary in the text",
)

callable_files = Table(
    "callable_files",
    metadata,
    col("path", String(200), primary_key=True),
    col("spec_hash", String(64), ForeignKey("specs.hash")),
    comment="Files in folders of the followed folder, by their path in it without extension: a step may call them",
)

passed_over = Table(
    "passed_over",
    metadata,
    col("kind", String(8), primary_key=True),
    col("name", String(200), primary_key=True),
    col("folder_hash", String(64), nullable=True),
    col("problem", Text, server_default=text("''")),
    comment="Files of the followed folder that are no dags. kind removed: by API, name is the dag's, and its "
    "file is passed over while its text has this folder_hash; refused: name is the file's, problem says why",
)

# For a page of DAGs, sorted by case-insensitive name.
Index("ix_dags_name_order", bytewise(func.lower(dags.c.dag_name)), bytewise(dags.c.file_name))

dag_versions = Table(
    "dag_versions",
    metadata,
    col("file_name", String(200), primary_key=True),
    col("version", Integer, primary_key=True),
    col("spec_hash", String(64), ForeignKey("specs.hash")),
    col("at", UTCDateTime),
    col("by", String(200)),
    Index("ix_dag_versions_spec", "spec_hash"),
)
