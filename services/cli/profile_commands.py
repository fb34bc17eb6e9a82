"""``dagway config``: show and change profiles."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from services.cli.help_pages import PageGroup
from services.cli.output.terminal import JSON_OPTION, echo_answer, echo_list, say
from services.cli.profiles import Profile, Profiles, profiles_path, read_profiles, write_profiles
from services.cli.remote.connecting import find_connection
from services.cli.settings import options_of
from shared.errors import ConfigInvalid
from shared.settings.config import environment
from shared.settings.readers import gateway_url, header_value

__all__ = ["config_command"]

_EXAMPLES = """
dagway config set production --url https://dagway.example.org --token-file -   then paste an API key
dagway config use production                             from now on the default
dagway ls --profile staging                              another one for one command
dagway config list
"""


@click.group("config", cls=PageGroup, examples=_EXAMPLES)
def config_command() -> None:
    """Show and change the profiles of servers.

    A profile has the URL and the credentials of a server. The file is ~/.config/dagway/config.yaml, readable by its
    owner only.
    """


@config_command.command("list")
@JSON_OPTION
def list_profiles(in_json: bool) -> None:
    """List profiles, without their secrets. The one in use has a star."""
    profiles = read_profiles(profiles_path(environment()))
    answer = {"use": profiles.use, "profiles": {name: _shown(each) for name, each in profiles.by_name.items()}}
    rows = (
        (name + (" *" if name == profiles.use else ""), each.url, _kind(each))
        for name, each in profiles.by_name.items()
    )
    empty = "no profiles; create one with dagway config set"
    echo_list(answer, ("PROFILE", "URL", "CREDENTIALS"), rows, empty=empty, in_json=in_json)


@config_command.command("show")
@options_of("url", "profile")
@JSON_OPTION
def show_connection(in_json: bool, **given: Any) -> None:
    """Show which gateway commands use now, and why."""
    connection = find_connection(given)
    credentials = connection.authorization.partition(" ")[0] or "none"
    source = connection.source or "default"
    answer = {"url": connection.url, "source": source, "credentials": credentials}
    echo_answer(answer, f"{connection.url}  (from: {source}; credentials: {credentials})", in_json=in_json)


@config_command.command("set")
@click.argument("name")
@click.option("--url", help="URL of the gateway")
@click.option("--token-file", type=click.File(), help="file with an API key or token, - for standard input")
@click.option("--username", help="user for HTTP Basic, which is DAGWAY_AUTH_BASIC_USERNAME of the gateway")
@click.option("--password-file", type=click.File(), help="file with the password, - for standard input")
@click.option("--ca-file", type=click.Path(exists=True, dir_okay=False), help="certificates that sign the gateway's")
@click.option("--workspace", help="workspace that commands with this profile use")
def set_profile(
    name: str,
    *,
    url: str | None,
    token_file: Any,
    username: str | None,
    password_file: Any,
    ca_file: str | None,
    workspace: str | None,
) -> None:
    """Create or change a profile. The first one is in use from then on.

    Secrets come from files or standard input: all users of this machine can see the options of a command.
    """
    where = profiles_path(environment())
    profiles = read_profiles(where)
    old = profiles.by_name.get(name)
    if old is None and not url:
        raise click.UsageError("a new profile needs --url")
    given = {
        "url": _checked("--url", gateway_url, url or None),
        "token": _checked("--token-file", header_value, _secret(token_file)),
        "username": username,
        "password": _secret(password_file),
        "ca_file": str(Path(ca_file).resolve()) if ca_file else None,
        "workspace": _checked("--workspace", header_value, workspace),
    }
    changes = {field: value for field, value in given.items() if value is not None}
    if old is not None and changes.get("url", old.url) != old.url and "token" not in changes and _kind(old) != "none":
        say("the credentials were those of the former URL: give them again")
        old = Profile(url=old.url, ca_file=old.ca_file)
    changed = replace(old or Profile(url=""), **changes)
    write_profiles(where, Profiles(profiles.use or name, {**profiles.by_name, name: changed}))
    click.echo(f"profile {name}: {changed.url}, credentials: {_kind(changed)}")


@config_command.command("use")
@click.argument("name")
def use_profile(name: str) -> None:
    """Use a profile from now on."""
    where, profiles = _existing(name)
    write_profiles(where, Profiles(name, profiles.by_name))
    click.echo(f"using {name}: {profiles.by_name[name].url}")


@config_command.command("remove")
@click.argument("name")
def remove_profile(name: str) -> None:
    """Remove a profile."""
    where, profiles = _existing(name)
    rest = {each: profile for each, profile in profiles.by_name.items() if each != name}
    write_profiles(where, Profiles("" if profiles.use == name else profiles.use, rest))
    click.echo(f"profile {name} removed")


def _existing(name: str) -> tuple[Path, Profiles]:
    where = profiles_path(environment())
    profiles = read_profiles(where)
    if name not in profiles.by_name:
        raise ConfigInvalid(f"there is no profile {name!r} (profiles: {', '.join(profiles.by_name) or 'none'})")
    return where, profiles


def _checked(option: str, read: Callable[[str], str], text: str | None) -> str | None:
    try:
        return None if text is None else read(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from error


def _secret(file: Any) -> str | None:
    return None if file is None else str(file.read()).strip()


def _kind(profile: Profile) -> str:
    return "token" if profile.token else f"user {profile.username}" if profile.username else "none"


def _shown(profile: Profile) -> dict[str, str]:
    return {
        name: "***" if name in ("token", "password") and value else value for name, value in asdict(profile).items()
    }
