"""The provider ``vault``, on a small server and, if ``DAGWAY_TEST_VAULT`` names its program, on a real one."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.worker.inputs import vault as vault_module
from services.worker.inputs.secret_provider import SecretMissing
from services.worker.inputs.secret_values import SecretResolver
from services.worker.inputs.vault import Vault, VaultSettings
from shared.language.model import Secret
from tests.harness.vaults import JWT, ROLE, JsonServer, RealVault, SmallVault
from tests.harness.worker_rig import Rig, command, task

PROGRAM = os.environ.get("DAGWAY_TEST_VAULT", "")
VALUE = "correct horse battery"


@pytest.fixture(scope="module", params=["small", "real"] if PROGRAM else ["small"])
def server(request: pytest.FixtureRequest) -> Iterator[SmallVault | RealVault]:
    with SmallVault() if request.param == "small" else RealVault(Path(PROGRAM)) as server:
        server.put("team/db", {"value": "old"})
        server.put("team/db", {"value": VALUE, "port": 5432, "pässword": "ö"})
        server.put("forbidden/db", {"value": VALUE})
        yield server


@pytest.fixture
def by_role(server: SmallVault | RealVault, tmp_path: Path) -> Vault:
    jwt = tmp_path / "token"
    jwt.write_text(f"{JWT}\n")
    return Vault(VaultSettings(server.address, role=ROLE, jwt_file=jwt))


def test_a_field_of_the_newest_or_of_an_older_version(server: SmallVault | RealVault) -> None:
    vault = Vault(VaultSettings(f"{server.address}", token=server.token))

    assert vault.read("team/db", {}) == VALUE
    assert vault.read("/team/db", {"mount": "secret", "field": "pässword"}) == "ö"
    assert vault.read("team/db", {"version": "1"}) == "old"
    assert vault.read("team/db", {"field": "port"}) == "5432"


@pytest.mark.parametrize(
    ("key", "options", "said"),
    [
        ("team/none", {}, 'vault: there is no secret at "secret/team/none"'),
        ("team/db", {"version": "9"}, 'vault: there is no secret at "secret/team/db", version 9'),
        ("team/db", {"field": "user"}, "vault: \"secret/team/db\" has no field 'user'"),
        ("team/db", {"version": "1&x=y"}, "the option version must be a whole number"),
        ("team/db", {"feild": "x"}, "vault has no option 'feild'; it has field, mount, version"),
        ("../../sys/mounts", {}, "the key '../../sys/mounts' is not a path of names"),
        ("a//b", {}, "the key 'a//b' is not a path of names"),
        ("team/db", {"mount": ".."}, "the mount '..' is not a path of names"),
        ("forbidden/db", {}, 'vault: the worker may not read "secret/forbidden/db"'),
        ("team%2Fdb?x#y", {}, 'vault: there is no secret at "secret/team%2Fdb?x#y"'),
    ],
)
def test_what_is_missing_is_named(by_role: Vault, key: str, options: dict[str, str], said: str) -> None:
    with pytest.raises(SecretMissing) as caught:
        by_role.read(key, options)

    assert said in str(caught.value)
    assert VALUE not in str(caught.value)


def test_a_deleted_version_is_missing(server: SmallVault | RealVault, by_role: Vault) -> None:
    server.put("team/gone", {"value": VALUE})
    assert by_role.read("team/gone", {}) == VALUE
    server.delete("team/gone")

    with pytest.raises(SecretMissing, match='there is no secret at "secret/team/gone"'):
        by_role.read("team/gone", {})


def test_a_worker_logs_in_again_when_its_login_has_ended(
    server: SmallVault | RealVault, by_role: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert by_role.read("team/db", {}) == VALUE
    server.end_logins()
    with pytest.raises(SecretMissing, match="may not read"):
        by_role.read("team/db", {})

    monkeypatch.setattr(vault_module, "_YOUNG_S", 0.0)
    assert by_role.read("team/db", {}) == VALUE


@pytest.mark.parametrize(("role", "jwt"), [("nobody", JWT), (ROLE, "of somebody else")])
def test_a_refused_login_is_named(server: SmallVault | RealVault, tmp_path: Path, role: str, jwt: str) -> None:
    (tmp_path / "token").write_text(jwt)
    vault = Vault(VaultSettings(server.address, role=role, jwt_file=tmp_path / "token"))

    with pytest.raises(SecretMissing, match=f"vault: the login as role '{role}' failed with HTTP status 40"):
        vault.read("team/db", {})


def test_one_login_serves_many_reads_and_a_sealed_server_is_asked_again(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(JWT)
    with SmallVault() as server:
        server.put("a", {"value": VALUE})
        vault = Vault(VaultSettings(server.address, role=ROLE, jwt_file=tmp_path / "token"))
        assert [vault.read("a", {}) for _ in range(3)] == [VALUE] * 3
        assert server.logins == 1
        server.failures = [503, 429]
        assert vault.read("a", {}) == VALUE
        server.failures = [503] * 4
        with pytest.raises(SecretMissing, match='reading "secret/a" failed with HTTP status 503: Vault is sealed'):
            vault.read("a", {})


def test_a_token_is_not_sent_where_a_redirect_leads() -> None:
    seen: list[str] = []

    def elsewhere(_method: str, _target: str, headers: dict[str, str], _body: object) -> tuple[int, dict[str, str]]:
        seen.append(headers.get("x-vault-token", ""))
        return 200, {}

    with (
        JsonServer(elsewhere) as other,
        JsonServer(lambda *_: (307, {"location": f"{other.address}/v1/secret/data/a"})) as server,
        pytest.raises(SecretMissing, match="redirects requests"),
    ):
        Vault(VaultSettings(server.address, token="s.root")).read("a", {})
    assert seen == []


def test_a_server_that_is_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vault_module, "_RETRIES", vault_module._RETRIES.new(total=0))
    with pytest.raises(SecretMissing, match=r"vault: http://127.0.0.1:1 does not answer as it should: NewConnection"):
        Vault(VaultSettings("http://127.0.0.1:1", token="s.root")).read("a", {})


def test_an_answer_without_end_fails_before_it_fills_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vault_module, "_MOST_BYTES", 1000)
    with (
        JsonServer(lambda *_: (200, {"data": {"data": {"value": "x" * 1000}}})) as server,
        pytest.raises(SecretMissing, match=f"the answer of {server.address} is larger than 1000 bytes"),
    ):
        Vault(VaultSettings(server.address, token="s.root")).read("a", {})


def test_a_step_gets_its_value_and_no_report_has_it(server: SmallVault | RealVault, tmp_path: Path) -> None:
    resolver = SecretResolver(vault=Vault(VaultSettings(server.address, token=server.token)))
    step = command(f'echo "got $T"; test "$T" = "{VALUE}" && echo right')
    with Rig(tmp_path / "worker", resolver=resolver) as rig:
        finished = rig.run(task(step, secrets=(Secret(name="T", provider="vault", key="team/db"),)))
        assert rig.log(finished, "stdout") == b"got *******\nright\n"
        missing = rig.run(task(step, secrets=(Secret(name="T", provider="vault", key="team/none"),)))

    assert missing.outcome == "broken"
    assert missing.error == 'failed to resolve secret "T": vault: there is no secret at "secret/team/none"'
    assert VALUE not in "".join(event.model_dump_json() for event in rig.seen)
