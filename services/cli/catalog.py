"""All commands: the section of the help page, the module that has the command, and a line about it.

``dagway --help`` and shell completion read only this table, so they stay fast. A command is the object in its module
that has the command's name, with ``_`` for ``-``, and ``_command`` at the end.
"""

from dataclasses import dataclass

__all__ = ["COMMANDS", "SECTIONS", "CommandEntry"]


@dataclass(frozen=True, slots=True)
class CommandEntry:
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


SECTIONS = ("Here, without a server", "Run workflows", "Follow runs", "Operate", "Servers and access", "Services")

_HERE, _RUN, _FOLLOW, _OPERATE, _ACCESS, _SERVICES = SECTIONS

COMMANDS = (
    CommandEntry("run", "local.running", "Run a workflow file here and now, without a server", _HERE),
    CommandEntry("dry", "local.planning", "Show what a run of a workflow file would do", _HERE),
    CommandEntry("validate", "local.validating", "Check workflow files and print all their errors", _HERE),
    CommandEntry("test", "local.testing", "Run the test cases of workflow files", _HERE),
    CommandEntry("start", "remote.starting", "Start a run and wait until it ends", _RUN),
    CommandEntry("enqueue", "remote.starting", "Queue a run", _RUN),
    CommandEntry("exec", "remote.executing", "Run one command as a DAG run", _RUN),
    CommandEntry("stop", "remote.stopping", "Stop a running run", _RUN),
    CommandEntry("dequeue", "remote.stopping", "Remove a run from its queue", _RUN),
    CommandEntry("retry", "remote.repeating", "Retry the steps of a run that did not succeed", _RUN),
    CommandEntry("restart", "remote.repeating", "Stop a running run and start it again", _RUN),
    CommandEntry("approve", "remote.approving", "Approve a step that waits for approval", _RUN),
    CommandEntry("reject", "remote.approving", "Reject a step that waits for approval", _RUN),
    CommandEntry("status", "remote.showing", "Show a run and its steps", _FOLLOW),
    CommandEntry("history", "remote.showing", "List runs, the newest first", _FOLLOW),
    CommandEntry("logs", "remote.logs", "Print the output of steps", _FOLLOW),
    CommandEntry("watch", "remote.watching", "Follow a run, or all runs, live", _FOLLOW),
    CommandEntry("events", "remote.watching", "Print each change of a run or a step as it happens", _FOLLOW),
    CommandEntry("why", "remote.waiting", "Show what a run and its steps wait for", _FOLLOW),
    CommandEntry("ls", "remote.listing", "List DAGs", _OPERATE),
    CommandEntry("suspend", "remote.schedules", "Switch off the schedule of a DAG", _OPERATE),
    CommandEntry("resume", "remote.schedules", "Switch the schedule of a DAG on again, or end a pause", _OPERATE),
    CommandEntry("pause", "remote.schedules", "Admit no queued and no scheduled runs", _OPERATE),
    CommandEntry("slots", "remote.schedules", "Show when a DAG was due, and what came of it", _OPERATE),
    CommandEntry("queues", "remote.capacity", "List queues and their runs", _OPERATE),
    CommandEntry("pools", "remote.capacity", "List pools, locks and rate limits", _OPERATE),
    CommandEntry("workers", "remote.capacity", "List workers and what they run", _OPERATE),
    CommandEntry("users", "remote.accounts", "List and change users", _ACCESS),
    CommandEntry("keys", "remote.api_keys", "List, create and delete API keys", _ACCESS),
    CommandEntry("config", "profile_commands", "Show and change the profiles of servers", _ACCESS),
    CommandEntry("doctor", "remote.doctor", "Check the connection to a server and the server's health", _ACCESS),
    CommandEntry("completion", "completion", "Print or install shell completion", _ACCESS),
    CommandEntry("up", "services", "Run all services in one process, on SQLite by default", _SERVICES),
    CommandEntry("start-all", "services", "Run all services in one process, as dagway up does", _SERVICES, hidden=True),
    CommandEntry("api", "services", "Run an API gateway. It needs RabbitMQ and Postgres", _SERVICES),
    CommandEntry("scheduler", "services", "Run a scheduler. It needs RabbitMQ and Postgres", _SERVICES),
    CommandEntry("worker", "services", "Run a worker. It needs RabbitMQ only", _SERVICES),
    CommandEntry("migrate", "services", "Create or upgrade the database schema", _SERVICES),
    CommandEntry("verify", "maintenance", "Check the database against the guarantees", _SERVICES),
    CommandEntry("dead-letters", "maintenance", "List or return messages that could not be handled", _SERVICES),
    CommandEntry("audit", "maintenance", "Check the audit log", _SERVICES),
    CommandEntry("version", "services", "Print the version", _SERVICES),
)
