"""The services that request handlers use. The composition root creates them once per process."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from threading import Event

from services.api.audit.sender import AuditSender
from services.api.auth.authentication import Auth
from services.api.auth.first_user import FirstUser
from services.api.caches.ended_details import EndedDetails
from services.api.caches.run_summaries import Summaries
from services.api.caches.run_totals import RunTotals
from services.api.caches.single_flight import SingleFlight
from services.api.caches.specs import SpecCache
from services.api.caches.workspaces import CachesOfWorkspaces, HasWorkspaces
from services.api.command_client import Commands
from services.api.followers import Followers
from services.api.machine_load import Resources
from services.api.readiness_log import ReadinessLog
from services.api.settings import Settings
from shared.store.reads.reader import Reads, SchemaRevision
from shared.store.scraped import PROBE_WAIT_S, Scraped
from shared.transport.base import Transport
from shared.workspaces import DEFAULT

__all__ = ["Deps"]


@dataclass(frozen=True, slots=True)
class Deps:
    """The services and settings that request handlers use.

    ``base_path`` is empty, or starts with a slash and has none at the end.
    """

    transport: Transport
    commands: Commands
    reads: Reads
    clock: Callable[[], datetime]
    """Returns the time. Several gateways must agree: that of the database, as the clock of ``reads`` has it."""
    version: str
    uptime_s: Callable[[], float]
    """Returns the seconds since this gateway started, by a clock that never jumps; ``clock`` may."""
    base_path: str = ""
    max_body_bytes: int = 2 * 1024 * 1024
    service_alive: timedelta = timedelta(seconds=30)
    """How long a service counts as live after its last heartbeat (as in Dagu's REST API v2)."""
    specs: SpecCache = field(default_factory=SpecCache)
    totals: RunTotals = field(default_factory=RunTotals)
    settings: Settings = field(default_factory=Settings)
    audit: AuditSender = field(init=False)
    auth: Auth = field(init=False)
    first_user: FirstUser = field(init=False)
    single_flight: SingleFlight = field(default_factory=SingleFlight)
    summaries: Summaries = field(default_factory=Summaries)
    ended_details: EndedDetails = field(default_factory=EndedDetails)
    resources: Resources = field(default_factory=Resources)
    followers: Followers = field(init=False)
    schema: Scraped[SchemaRevision] = field(init=False)
    """Asks for the database's schema, and so whether the database answers, within the time that a probe has."""
    own_trouble: Callable[[], str] = lambda: ""
    """Returns why this process is not ready, or an empty text. Used by ``dagway up``, which stores data on its disk."""
    reached_broker: Event = field(default_factory=Event)
    """Set by the first readiness probe that finds the broker."""
    readiness_log: ReadinessLog = field(default_factory=ReadinessLog)
    closing: Event = field(default_factory=Event)
    """Set when the server stops, so that streams end."""
    of_workspaces: CachesOfWorkspaces = field(default_factory=CachesOfWorkspaces)
    """The caches of the other workspaces. ``totals`` and ``single_flight`` are those of the default one."""

    @property
    def zone(self) -> tzinfo | None:
        """The time zone of timestamps in responses; see ``Settings``."""
        return self.settings.zone

    def within(self, workspace: str, *, known: bool = True) -> "Deps":
        """Return these services for requests of one workspace, whose readers find nothing of another.

        ``known``: whether the workspace is known to exist. If not, the request gets caches that are not kept, so
        names that somebody made up cannot fill the memory or displace the caches that are in use.
        """
        found = copy.copy(self)
        object.__setattr__(found, "reads", self.reads.within(workspace))
        if workspace != DEFAULT:
            caches = self.of_workspaces.of(workspace) if known else self.of_workspaces.unshared()
            object.__setattr__(found, "totals", caches.totals)
            object.__setattr__(found, "single_flight", caches.single_flight)
        return found

    def __post_init__(self) -> None:
        object.__setattr__(self, "schema", Scraped(self.reads.schema, wait_s=PROBE_WAIT_S))
        object.__setattr__(self, "audit", AuditSender(self.transport, self.clock))
        object.__setattr__(self, "auth", Auth(self.settings, self.reads, self.commands, self.clock))
        object.__setattr__(self, "first_user", FirstUser(self.settings, self.reads, self.commands, self.auth.passwords))
        shared = HasWorkspaces(self.reads)
        object.__setattr__(self, "followers", Followers(self.transport, self.settings.max_followers, shared=shared))
