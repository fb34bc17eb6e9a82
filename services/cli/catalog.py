"""All commands: the section of the help page, the module that has the command, and a line about it.

``dagway --help`` and shell completion read only this table, so they stay fast. A command is the object in its module
that has the command's name, with ``_`` for ``-``, and ``_command`` at the end.
"""

from dataclasses import dataclass

__all__ = ["COMMANDS", "SECTIONS", "CatalogEntry"]


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """One command. ``help`` is also the first paragraph of its own help page, without the full stop."""

    name: str
    module: str
    help: str
    section: str
    hidden: bool = False

    @property
    def attribute(self) -> str:
        """The name of the command in its module."""
        return f"{self.name.replace('-', '_')}_command"


SECTIONS = ("Without a server", "Run workflows", "Follow runs", "Operate", "Servers and access", "Services")

_HERE, _RUN, _FOLLOW, _OPERATE, _ACCESS, _SERVICES = SECTIONS

COMMANDS = (
    CatalogEntry("run", "local.running", "Run a workflow file here and now, without a server", _HERE),
    CatalogEntry("dry", "local.planning", "Show what a run of a workflow file would do", _HERE),
    CatalogEntry("validate", "local.validating", "Check workflow files and print all their errors", _HERE),
    CatalogEntry("fmt", "local.formatting", "Format workflow files", _HERE),
    CatalogEntry("test", "local.testing", "Run the test cases of workflow files", _HERE),
    CatalogEntry("start", "remote.starting", "Start a run and wait until it ends", _RUN),
    CatalogEntry("enqueue", "remote.starting", "Queue a run", _RUN),
    CatalogEntry("exec", "remote.executing", "Run one command as a DAG run", _RUN),
    CatalogEntry("stop", "remote.stopping", "Stop a running run", _RUN),
    CatalogEntry("dequeue", "remote.stopping", "Remove a run from its queue", _RUN),
    CatalogEntry("cleanup", "remote.cleaning_up", "Delete old runs of a DAG, with their sub-runs and logs", _RUN),
    CatalogEntry("retry", "remote.repeating", "Retry the steps of a run that did not succeed", _RUN),
    CatalogEntry("restart", "remote.repeating", "Stop a running run and start it again", _RUN),
    CatalogEntry("approve", "remote.approving", "Approve a step that waits for approval", _RUN),
    CatalogEntry("reject", "remote.approving", "Reject a step that waits for approval", _RUN),
    CatalogEntry("status", "remote.showing", "Show a run and its steps", _FOLLOW),
    CatalogEntry("history", "remote.showing", "List runs, the newest first", _FOLLOW),
    CatalogEntry("logs", "remote.logs", "Print the output of steps", _FOLLOW),
    CatalogEntry("watch", "remote.watching", "Follow a run, or all runs, live", _FOLLOW),
    CatalogEntry("events", "remote.watching", "Print each change of a run or a step as it happens", _FOLLOW),
    CatalogEntry("why", "remote.waiting", "Show what a run and its steps wait for", _FOLLOW),
    CatalogEntry("ls", "remote.listing", "List DAGs", _OPERATE),
    CatalogEntry("plan", "remote.plans", "Show what a run would do, and how long that usually takes", _OPERATE),
    CatalogEntry("suspend", "remote.schedules", "Switch off the schedule of a DAG", _OPERATE),
    CatalogEntry("resume", "remote.schedules", "Switch the schedule of a DAG on again, or end a pause", _OPERATE),
    CatalogEntry("pause", "remote.schedules", "Pause a DAG, a queue, or everything", _OPERATE),
    CatalogEntry("slots", "remote.schedules", "Show when a DAG was due, and what came of it", _OPERATE),
    CatalogEntry("queues", "remote.capacity", "List queues and their runs", _OPERATE),
    CatalogEntry("pools", "remote.capacity", "List pools, locks and rate limits", _OPERATE),
    CatalogEntry("workers", "remote.workers", "List workers and what they run", _OPERATE),
    CatalogEntry("settings", "remote.server_settings", "Show the settings of a gateway", _ACCESS),
    CatalogEntry("users", "remote.accounts", "List and change users", _ACCESS),
    CatalogEntry("keys", "remote.api_keys", "List, create and delete API keys", _ACCESS),
    CatalogEntry("secrets", "remote.stored_secrets", "List, set, delete and rotate stored secrets", _ACCESS),
    CatalogEntry("worker-pools", "remote.worker_pools", "Reserve worker pools for workspaces", _ACCESS),
    CatalogEntry("workspaces", "remote.workspaces", "List and change workspaces", _ACCESS),
    CatalogEntry("config", "profile_commands", "Show and change the profiles of servers", _ACCESS),
    CatalogEntry("doctor", "remote.doctor", "Check the connection to a server and the server's health", _ACCESS),
    CatalogEntry("mcp", "mcp.serving", "Serve the API to an AI assistant, over the Model Context Protocol", _ACCESS),
    CatalogEntry("completion", "completion", "Print or install shell completion", _ACCESS),
    CatalogEntry("up", "services", "Run all services on this machine, on SQLite by default", _SERVICES),
    CatalogEntry(
        "start-all", "services", "Run all services on this machine, as dagway up does", _SERVICES, hidden=True
    ),
    CatalogEntry("api", "services", "Run an API gateway. It needs RabbitMQ and Postgres", _SERVICES),
    CatalogEntry("scheduler", "services", "Run a scheduler. It needs RabbitMQ and Postgres", _SERVICES),
    CatalogEntry("worker", "services", "Run a worker. It needs RabbitMQ only", _SERVICES),
    CatalogEntry(
        "deletion-costs",
        "services",
        "Tell Kubernetes which workers are idle, so that a scale-in ends those first",
        _SERVICES,
    ),
    CatalogEntry("migrate", "services", "Create or upgrade the database schema", _SERVICES),
    CatalogEntry("shadow", "remote.shadowing", "Compare with a live Dagu, and cut over", _SERVICES),
    CatalogEntry("import", "importing", "Bring workflows and history of other programs here", _SERVICES),
    CatalogEntry("move", "moving", "Move the data of dagway up to a system on RabbitMQ and Postgres", _SERVICES),
    CatalogEntry("verify", "maintenance", "Check the database against the guarantees", _SERVICES),
    CatalogEntry("dead-letters", "maintenance", "List or return messages that could not be handled", _SERVICES),
    CatalogEntry("audit", "maintenance", "Check the audit log", _SERVICES),
    CatalogEntry("version", "services", "Print the version", _SERVICES),
)
