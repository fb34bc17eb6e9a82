"""Sub-runs: finds the DAG that a step calls, makes the runs, and keeps parents and children in step."""
