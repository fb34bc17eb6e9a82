"""The page for users, API keys and webhooks: what administrators can do there, and what others see."""

from playwright.sync_api import Browser, Page, Route, expect

from tests.harness.accessibility import barriers
from tests.harness.browser import PHONE, watched
from tests.harness.procs import DagwayProcess
from tests.ui.conftest import log_in, origin, send


def fits_and_is_accessible(page: Page) -> bool:
    width, room = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert width <= room
    assert barriers(page) == []
    return True


def shown_once(page: Page, *labels: str) -> list[str]:
    """Return the secrets in the dialog, and close it: they are nowhere in the page then."""
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("it is not shown again")).to_be_visible()
    found = [dialog.locator("section", has_text=label).locator("code").inner_text() for label in labels]
    assert fits_and_is_accessible(page)
    dialog.get_by_role("button", name="Done").click()
    # By its element: a closed dialog has no role any more, and is removed an instant later.
    expect(page.locator("dialog")).to_have_count(0)
    assert not any(each in page.content() for each in found)
    return found


def whose(page: Page, system: DagwayProcess, key: str) -> tuple[int, str]:
    answer = page.request.get(
        f"{origin(system)}/flows/api/v2/auth/me", headers={"Authorization": f"Bearer {key}", "Cookie": ""}
    )
    return answer.status, answer.json().get("user", {}).get("username", "")


def test_an_administrator_gives_and_takes_access(chromium: Browser, guarded: DagwayProcess) -> None:
    door = f"{origin(guarded)}/flows/#/access"
    with watched(chromium, door, size=PHONE, expected=("status of 401", "status of 400", "status of 409")) as page:
        log_in(page, "admin", "correct horse")
        expect(page.get_by_role("button", name="New user")).to_be_visible()
        _remove_keys_and_webhooks(page, guarded)
        _users(page)
        page.get_by_role("link", name="API keys").click()
        _keys(page, guarded)
        send(page, guarded, "dags", {"name": "hooked", "spec": "steps: [echo x]\n"})
        page.get_by_role("link", name="Webhooks").click()
        _webhooks(page)


def _remove_keys_and_webhooks(page: Page, system: DagwayProcess) -> None:
    """Delete those of other tests: the pages say so if there are none."""
    door = origin(system)
    api = f"{door}/flows/api/v2"
    keys = [f"api-keys/{each['id']}" for each in page.request.get(f"{api}/api-keys").json()["apiKeys"]]
    hooked = page.request.get(f"{api}/webhooks").json()["webhooks"]
    for where in (*keys, *(f"dags/{each['dagName']}/webhook" for each in hooked)):
        assert page.request.delete(f"{api}/{where}", headers={"Origin": door}).ok


def _users(page: Page) -> None:
    dialog = page.get_by_role("dialog")
    page.get_by_role("button", name="New user").click()
    dialog.get_by_label("User name").fill("ann")
    dialog.get_by_label("Password").fill("password")
    dialog.get_by_label("Role").select_option("operator")
    dialog.get_by_role("button", name="Create").click()
    expect(dialog.get_by_role("alert")).to_contain_text("most common passwords")
    assert fits_and_is_accessible(page)
    dialog.get_by_label("Password").fill("long enough for ann")
    # The keyboard is enough: Enter sends the form.
    page.keyboard.press("Enter")
    ann = page.get_by_role("row", name="ann")
    expect(ann).to_contain_text("operator")
    expect(page.get_by_role("button", name="Delete admin")).to_have_count(0)
    assert fits_and_is_accessible(page)
    page.get_by_role("button", name="Edit ann").click()
    dialog.get_by_label("Role").select_option("manager")
    dialog.get_by_role("button", name="Save").click()
    expect(ann).to_contain_text("manager")
    page.get_by_role("button", name="Edit ann").click()
    dialog.get_by_label("Role").select_option("none")
    dialog.get_by_role("button", name="Save").click()
    expect(ann).to_contain_text("none")
    # Another name leaves the role as it is.
    page.get_by_role("button", name="Edit ann").click()
    dialog.get_by_label("User name").fill("ann2")
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_role("row", name="ann2")).to_contain_text("none")
    page.get_by_role("button", name="Edit ann2").click()
    dialog.get_by_label("User name").fill("ann")
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_role("row", name="ann2")).to_have_count(0)
    page.get_by_role("button", name="New password of ann").click()
    dialog.get_by_label("New password").fill("another for ann")
    dialog.get_by_role("button", name="Set").click()
    expect(dialog).to_have_count(0)
    page.get_by_role("button", name="Delete ann").click()
    dialog.get_by_role("button", name="Delete").click()
    expect(ann).to_have_count(0)


def _keys(page: Page, system: DagwayProcess) -> None:
    dialog = page.get_by_role("dialog")
    expect(page.get_by_text("There are no API keys yet.")).to_be_visible()
    page.get_by_role("button", name="New API key").click()
    dialog.get_by_label("Name", exact=True).fill("ci")
    dialog.get_by_label("DAGs").fill("etl-* hooked")
    dialog.get_by_label("Expires").fill("2099-01-31T12:30")
    assert fits_and_is_accessible(page)
    dialog.get_by_role("button", name="Create").click()
    [key] = shown_once(page, "API key")
    assert whose(page, system, key) == (200, "apikey:ci")
    row = page.get_by_role("row", name="ci")
    expect(row).to_contain_text("etl-* hooked")
    assert fits_and_is_accessible(page)
    page.get_by_role("button", name="Edit ci").click()
    expect(dialog.get_by_label("Expires")).to_have_value("2099-01-31T12:30")
    dialog.get_by_label("DAGs").fill("")
    dialog.get_by_role("button", name="Save").click()
    expect(row).to_contain_text("all DAGs")
    page.get_by_role("button", name="Delete ci").click()
    dialog.get_by_role("button", name="Delete").click()
    expect(row).to_have_count(0)
    assert whose(page, system, key)[0] == 401


def _webhooks(page: Page) -> None:
    dialog = page.get_by_role("dialog")
    page.get_by_role("button", name="New webhook").click()
    dialog.get_by_label("DAG").fill("hooked")
    dialog.get_by_role("button", name="Create").click()
    token, secret = shown_once(page, "Token", "Signing secret")
    assert token.startswith("dagu_wh_")
    assert secret.startswith("whsec_")
    row = page.get_by_role("row", name="hooked")
    page.get_by_role("button", name="Switch off hooked").click()
    expect(row.get_by_text("off", exact=True)).to_be_visible()
    assert fits_and_is_accessible(page)
    page.get_by_role("button", name="New token of hooked").click()
    dialog.get_by_role("button", name="Replace").click()
    assert token not in shown_once(page, "Token", "Signing secret")
    page.get_by_role("button", name="Delete hooked").click()
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("No DAG has a webhook yet.")).to_be_visible()


def test_a_secret_is_shown_to_those_who_closed_the_dialog_too(chromium: Browser, guarded: DagwayProcess) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        if route.request.method == "POST":
            held.append(route)
        else:
            route.continue_()

    with watched(chromium, f"{origin(guarded)}/flows/#/access?tab=keys", expected=("status of 401",)) as page:
        log_in(page, "admin", "correct horse")
        page.route("**/api-keys", hold)
        dialog = page.get_by_role("dialog")
        for leave in ("Cancel", "Home"):
            page.get_by_role("button", name="New API key").click()
            dialog.get_by_label("Name", exact=True).fill(leave)
            with page.expect_request(lambda request: request.method == "POST"):
                dialog.get_by_role("button", name="Create").click()
            if leave == "Cancel":
                dialog.get_by_role("button", name="Cancel").click()
            else:
                page.evaluate("location.hash = '#/'")
            expect(dialog).to_have_count(0)
            held.pop().continue_()
            expect(dialog).to_contain_text(f"The new API key “{leave}”")
            # It is there until it is copied, whatever page is behind it.
            page.evaluate("location.hash = '#/queues'")
            expect(page.locator("h1")).to_have_text("Queues")
            [key] = shown_once(page, "API key")
            assert whose(page, guarded, key) == (200, f"apikey:{leave}")
            page.evaluate("location.hash = '#/access?tab=keys'")
            page.get_by_role("button", name=f"Delete {leave}").click()
            dialog.get_by_role("button", name="Delete").click()
            expect(dialog).to_have_count(0)


def test_a_secret_is_shown_to_nobody_after_the_logout(chromium: Browser, guarded: DagwayProcess) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        if route.request.method == "POST":
            held.append(route)
        else:
            route.continue_()

    with watched(chromium, f"{origin(guarded)}/flows/#/access?tab=keys", expected=("status of 401",)) as page:
        log_in(page, "admin", "correct horse")
        dialog = page.get_by_role("dialog")

        def create(name: str) -> None:
            page.get_by_role("button", name="New API key").click()
            dialog.get_by_label("Name", exact=True).fill(name)
            with page.expect_request(lambda request: request.method == "POST"):
                dialog.get_by_role("button", name="Create").click()

        page.route("**/api-keys", hold)
        create("late")
        dialog.get_by_role("button", name="Cancel").click()
        expect(dialog).to_have_count(0)
        [route] = held
        answer = route.fetch()  # not beside the logout, which may come first
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_label("User name")).to_be_visible()
        route.fulfill(response=answer)
        expect(page.locator(".toast")).to_contain_text("“New API key” was done all the same.")
        expect(page.locator("dialog")).to_have_count(0)
        page.unroute("**/api-keys")
        log_in(page, "admin", "correct horse")
        create("open")
        expect(dialog).to_contain_text("it is not shown again")
        # The login ends elsewhere, as in another tab.
        door = origin(guarded)
        assert page.request.post(f"{door}/flows/api/v2/auth/logout", headers={"Origin": door}, data={}).ok
        page.evaluate("location.hash = '#/queues'")
        expect(page.get_by_label("User name")).to_be_visible()
        expect(page.locator("dialog")).to_have_count(0)


def test_a_secret_whose_answer_was_lost_is_got_by_the_same_button(chromium: Browser, guarded: DagwayProcess) -> None:
    with watched(
        chromium, f"{origin(guarded)}/flows/#/access?tab=webhooks", expected=("status of 401", "ERR_FAILED")
    ) as page:
        log_in(page, "admin", "correct horse")
        expect(page.get_by_role("button", name="New webhook")).to_be_visible()
        send(page, guarded, "dags", {"name": "lost-hook", "spec": "steps: [echo x]\n"})
        dialog = page.get_by_role("dialog")
        page.get_by_role("button", name="New webhook").click()
        dialog.get_by_label("DAG").fill("lost-hook")

        def lose_the_answer(route: Route) -> None:
            route.fetch()
            route.abort()

        def not_recorded(route: Route) -> None:
            # As a gateway answers while there is no scheduler.
            route.fulfill(status=202, json={"commandId": "c1", "status": "pending"})

        for answer, told in (
            (lose_the_answer, "The gateway does not answer"),
            (not_recorded, "Accepted, but not recorded yet. Press the button again"),
        ):
            page.route("**/lost-hook/webhook", answer)
            dialog.get_by_role("button", name="Create").click()
            expect(dialog.get_by_role("alert")).to_contain_text(told)
            page.unroute("**/lost-hook/webhook")
        dialog.get_by_role("button", name="Create").click()
        expect(dialog).to_contain_text("Credentials of the webhook of lost-hook")
        token, _ = shown_once(page, "Token", "Signing secret")
        assert token.startswith("dagu_wh_")
        page.get_by_role("button", name="Delete lost-hook").click()
        dialog.get_by_role("button", name="Delete").click()
        expect(dialog).to_have_count(0)


def test_a_secret_that_never_came_is_not_said_to_have_failed(chromium: Browser, guarded: DagwayProcess) -> None:
    held: list[Route] = []
    with watched(
        chromium, f"{origin(guarded)}/flows/#/access?tab=keys", expected=("status of 401", "ERR_FAILED")
    ) as page:
        log_in(page, "admin", "correct horse")
        page.route(
            "**/api-keys", lambda route: held.append(route) if route.request.method == "POST" else route.continue_()
        )
        dialog, told = page.get_by_role("dialog"), page.locator(".toast.is-error")
        pending = {"commandId": "c1", "status": "pending"}
        for answer, said in (
            (
                lambda route: (route.fetch(), route.abort()),
                "It is not known whether “New API key” was done: The gateway",
            ),
            (
                lambda route: route.fulfill(status=202, json=pending),
                "“New API key” will be done, but its secret is lost",
            ),
        ):
            page.get_by_role("button", name="New API key").click()
            dialog.get_by_label("Name", exact=True).fill("unknown")
            with page.expect_request(lambda request: request.method == "POST"):
                dialog.get_by_role("button", name="Create").click()
            dialog.get_by_role("button", name="Cancel").click()
            expect(dialog).to_have_count(0)
            answer(held.pop())
            expect(told).to_contain_text(said)
            expect(told).to_contain_text("its secret is lost: replace it.")
            told.get_by_role("button", name="Close").click()
        page.unroute("**/api-keys")
        page.reload()
        page.get_by_role("button", name="Delete unknown").click()
        dialog.get_by_role("button", name="Delete").click()
        expect(dialog).to_have_count(0)


def test_others_are_told_and_change_their_own_password(chromium: Browser, guarded: DagwayProcess) -> None:
    expected = ("status of 401", "status of 403")
    elsewhere = "login?next=//evil.example&originalURL=https://evil.example#//evil.example"
    with watched(chromium, f"{origin(guarded)}/flows/{elsewhere}", expected=expected) as page:
        log_in(page, "admin", "correct horse")
        expect(page.get_by_role("heading", name="Not found")).to_be_visible()
        assert page.url.startswith(f"{origin(guarded)}/flows/"), "a login leads to no other site"
        expect(page.get_by_role("link", name="Access", exact=True)).to_be_visible()
        send(page, guarded, "users", {"username": "bea", "password": "first for bea", "role": "viewer"})
        page.get_by_role("button", name="Log out").click()
        log_in(page, "bea", "first for bea")
        expect(page.get_by_role("button", name="bea")).to_be_visible()
        page.goto(f"{origin(guarded)}/flows/#/access?tab=keys")
        expect(page.get_by_role("alert")).to_contain_text("requires the role admin; bea has viewer")
        page.get_by_role("button", name="bea").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Current password").fill("mistyped for bea")
        dialog.get_by_label("New password").fill("second for bea")
        dialog.get_by_role("button", name="Change").click()
        expect(dialog.get_by_role("alert")).to_have_text("The current password is wrong")
        dialog.get_by_label("Current password").fill("first for bea")
        assert fits_and_is_accessible(page)
        dialog.get_by_role("button", name="Change").click()
        # All logins of the user have ended.
        log_in(page, "bea", "second for bea")
        expect(page.get_by_role("button", name="bea")).to_be_visible()
