"""DAGs as files in the DAG folder (``DAGWAY_DAGS_DIR``), written together with the database."""
