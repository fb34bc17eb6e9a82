"""The workspace that the pages are about, and the page on which administrators keep workspaces."""

import re

from playwright.sync_api import Browser, Page, expect

from scripts.build_editor import WEB
from services.api.routes import OPERATIONS
from tests.harness.accessibility import barriers
from tests.harness.browser import PHONE, watched
from tests.harness.procs import DagwayProcess
from tests.ui.conftest import log_in, origin, send

NAME = "team-ui"


def fits_and_is_accessible(page: Page) -> None:
    expect(page.locator("main h1")).to_be_visible()
    width, room = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert width <= room
    assert barriers(page) == []


def test_a_workspace_is_kept_chosen_and_sent(chromium: Browser, guarded: DagwayProcess) -> None:
    door = f"{origin(guarded)}/flows/"
    expected = ("status of 401", "status of 403", "status of 404", "status of 409")
    with watched(chromium, f"{door}#/workspaces", size=PHONE, dark=True, expected=expected) as page:
        log_in(page, "admin", "correct horse")
        _keep(page, guarded)
        _use(page, door)
        page.get_by_role("button", name="Log out").click()
        # She may use no other workspace, so it need not be named, and there is nothing to choose.
        page.goto("about:blank")
        page.goto(f"{door}#/dags")
        log_in(page, "of-team", "long enough for her")
        expect(page.get_by_role("button", name="Start inside")).to_be_visible()
        assert page.url == f"{door}?workspace={NAME}#/dags"
        expect(page.get_by_role("combobox", name="Workspace")).to_have_count(0)
        expect(page.get_by_role("button", name="New DAG")).to_have_count(0)
        expect(page.get_by_role("link", name="Workspaces")).to_have_count(0)
        # An address that names no workspace leads to the same page in hers.
        page.goto("about:blank")
        page.goto(f"{door}#/dags/inside?tab=spec")
        page.wait_for_url(f"{door}?workspace={NAME}#/dags/inside?tab=spec")
        expect(page.get_by_role("heading", name="inside")).to_be_visible()
        page.goto(f"{door}?workspace=unknown#/dags")
        expect(page.get_by_role("alert")).to_contain_text("may not use the workspace unknown")
        expect(page.get_by_role("combobox", name="Workspace")).to_have_value("unknown")


def _keep(page: Page, guarded: DagwayProcess) -> None:
    """Create a workspace with a limit and a member, and another one that is deleted again."""
    dialog = page.get_by_role("dialog")
    expect(page.get_by_role("heading", name="Workspaces")).to_be_visible()
    send(page, guarded, "users", {"username": "of-team", "password": "long enough for her", "role": "none"})
    for name in ("soon-gone", NAME):
        page.get_by_role("button", name="New workspace").click()
        dialog.get_by_label("Name", exact=False).first.fill(name)
        dialog.get_by_label("At most: Running runs").fill("2")
        dialog.get_by_role("button", name="Create").click()
        expect(page.get_by_role("heading", name=name)).to_be_visible()
        expect(page.locator(".facts")).to_contain_text("Running runs 0 of 2")
        if name != NAME:
            page.get_by_role("button", name="Delete").click()
            dialog.get_by_role("button", name="Delete").click()
            expect(page.get_by_role("heading", name="Workspaces")).to_be_visible()
    page.get_by_role("button", name="Edit", exact=True).click()
    dialog.get_by_label("At most: DAGs").fill("1")
    dialog.get_by_label("At most: Bytes of logs in a day").fill("5000000")
    dialog.get_by_role("button", name="Save").click()
    expect(page.locator(".facts")).to_contain_text("DAGs 0 of 1")
    expect(page.locator(".facts")).to_contain_text("Bytes of logs in a day 0 of 5000000")
    page.get_by_role("button", name="Add a member").click()
    dialog.get_by_label("User").select_option("of-team")
    dialog.get_by_role("button", name="Add").click()
    page.get_by_role("button", name="Role of of-team").click()
    dialog.get_by_label("Role").select_option("operator")
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_role("row", name="of-team")).to_contain_text("operator")
    fits_and_is_accessible(page)


def _use(page: Page, door: str) -> None:
    """Go to the workspace by the chooser, and see that each request names it."""
    page.get_by_role("combobox", name="Workspace").select_option(NAME)
    page.wait_for_url(f"{door}?workspace={NAME}#/workspaces")
    fits_and_is_accessible(page)
    page.goto(f"{door}?workspace={NAME}#/dags")
    dialog = page.get_by_role("dialog")
    page.get_by_role("button", name="New DAG").click()
    dialog.get_by_label("Name").fill("inside")
    dialog.get_by_role("button", name="Create").click()
    expect(page).to_have_url(re.compile(re.escape(f"{door}?workspace={NAME}#/dags/inside")))
    page.get_by_role("button", name="Start", exact=True).click()
    with page.expect_request(lambda request: request.url.endswith("/events")) as told:
        dialog.get_by_role("button", name="Start").click()
    assert told.value.headers["x-dagway-workspace"] == NAME
    expect(page.locator("main .badge", has_text="succeeded").first).to_be_visible()
    page.get_by_role("button", name="Copy as…").click()
    expect(dialog.get_by_text(f"-H 'X-Dagway-Workspace: {NAME}'").first).to_be_visible()
    expect(dialog.get_by_text(f"dagway status --workspace={NAME}")).to_be_visible()
    dialog.get_by_role("button", name="Close").click()
    page.reload()
    expect(page.locator("main .badge", has_text="succeeded").first).to_be_visible()
    # The others have no such DAG, and changes of the whole server go on here too.
    page.goto(f"{door}#/dags/inside")
    expect(page.get_by_role("heading", name="Not found")).to_be_visible()
    page.goto(f"{door}?workspace={NAME}#/workspaces/{NAME}")
    expect(page.locator(".facts")).to_contain_text("DAGs 1 of 1")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text(NAME)
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()


def test_the_page_names_no_workspace_in_changes_of_the_whole_server() -> None:
    found = re.search(r"SERVER_WIDE = /(.+)/;", (WEB / "workspace.js").read_text())
    assert found is not None
    pattern = re.compile(found[1].replace("\\/", "/"))

    writes = [each for each in OPERATIONS if each.write and each.role != "public"]
    matching = {each.id for each in writes if pattern.search(re.sub(r"\{\w+\}", "x", each.path.removeprefix("/")))}
    assert matching == {each.id for each in writes if each.reach == "server"}
