"""Another front end in place of Dagway's: a small page that uses what the REST API guarantees."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.harness.browser import watched
from tests.harness.cluster import Embedded
from tests.ui.conftest import origin

BUNDLE = """\
const {apiURL, basePath, title, permissions, remoteNodes} = getConfig();
const root = document.getElementById("root");
const call = async (method, path, body) => {
  const headers = body ? {"Content-Type": "application/json"} : {};
  const url = `${apiURL}${path}?remoteNode=local`;
  const answer = await fetch(url, {method, headers, body: body && JSON.stringify(body)});
  // As its client does: no JSON is expected where the length says there is none.
  return answer.headers.get("Content-Length") === "0" ? undefined : answer.json();
};
const say = (id, text) => root.insertAdjacentHTML("beforeend", `<p id="${id}">${text}</p>`);
root.innerHTML = "<main></main>";
(async () => {
  say("config", [title, basePath, permissions.writeDags, permissions.runDags, remoteNodes].join("|"));
  const file = decodeURIComponent(location.pathname.split("/").at(-1));
  const [listed] = (await call("GET", "/dags")).dags.filter((each) => each.fileName === file);
  say("run", listed.latestDAGRun.statusLabel);
  const saved = await call("PUT", `/dags/${file}/spec`, {spec: "steps: [echo new]"});
  say("saved", JSON.stringify(saved));
  alert(saved.errors.join());
  say("refused", (await call("PUT", `/dags/${file}/spec`, {spec: "steps: 5"})).errors.length);
  say("suspended", JSON.stringify(await call("POST", `/dags/${file}/suspend`, {suspend: true})));
  const {dag, suspended} = await call("GET", `/dags/${file}`);
  say("now", dag.steps[0].commands[0].args.join() + suspended);
})();
"""


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    folder = tmp_path_factory.mktemp("bundle")
    (folder / "assets").mkdir()
    (folder / "assets/bundle.js").write_text(BUNDLE)
    (folder / "assets/favicon.ico").write_bytes(b"")
    env = {"DAGWAY_UI_DIR": str(folder), "DAGWAY_NAVBAR_TITLE": "Theirs"}
    with Embedded(tmp_path_factory.mktemp("bundle-data"), env=env) as running:
        yield running


def test_a_bundle_finds_everything_that_the_api_guarantees(chromium: Browser, system: Embedded) -> None:
    system.client.create("theirs", "steps: [echo old]\n")

    with watched(chromium, f"{origin(system)}/dags/theirs.yaml") as page:
        said = {name: page.locator(f"#{name}") for name in ("config", "run", "saved", "refused", "suspended", "now")}
        expect(said["now"]).to_have_text("newtrue")
        assert {name: place.text_content() for name, place in said.items()} == {
            "config": "Theirs||true|true|",
            "run": "not_started",
            "saved": '{"errors":[]}',
            "refused": "1",
            "suspended": "undefined",
            "now": "newtrue",
        }
        expect(page).to_have_title("Theirs")
