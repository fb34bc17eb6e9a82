"""Pictures that a pointer moves: only its main button does, and a drag clicks nothing. Some keys stay the browser's."""

import json
import re
from datetime import UTC, datetime, timedelta

from playwright.sync_api import Page, Route, expect

from tests.harness.cluster import Embedded
from tests.ui.conftest import Look
from tests.ui.test_big_runs import STEP_PLACE

MOVED = "[...document.querySelectorAll('.day .bar rect')].map((each) => each.getAttribute('x')).join()"
PRESS = "(canvas, key) => canvas.dispatchEvent(new KeyboardEvent('keydown', {...key, bubbles: true, cancelable: true}))"
"""Returns whether the key is left to the browser."""
NOW = datetime.now(UTC)
RUN = {
    "name": "dragged",
    "dagRunId": "r1",
    "statusLabel": "succeeded",
    "startedAt": (NOW - timedelta(hours=3)).isoformat(),
    "finishedAt": (NOW - timedelta(hours=2)).isoformat(),
}


def middle_of_bar(page: Page) -> tuple[float, float]:
    page.get_by_role("button", name="6 h", exact=True).click()
    bar = page.get_by_role("link", name=re.compile("^dragged r1"))
    bar.scroll_into_view_if_needed()
    box = bar.locator("rect").bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_a_run_that_is_dragged_in_the_chart_of_the_day_is_not_opened(look: Look) -> None:
    def answer(route: Route) -> None:
        route.fulfill(body=json.dumps({"runs": [RUN], "more": False, "until": NOW.isoformat()}))

    with look(expected=("status of 404",)) as page:
        page.route("**/overview/timeline*", answer)
        page.reload()
        x, y = middle_of_bar(page)
        before = page.evaluate(MOVED)

        # The other button opens the browser's menu, and a finger that scrolls the page is taken by the browser.
        page.mouse.move(x, y)
        page.mouse.down(button="right")
        page.mouse.move(x + 60, y)
        assert page.evaluate(MOVED) == before
        page.mouse.up(button="right")
        page.mouse.move(x, y)
        page.mouse.down()
        page.evaluate("dispatchEvent(new PointerEvent('pointercancel'))")
        page.mouse.move(x + 60, y)
        assert page.evaluate(MOVED) == before
        page.mouse.move(5, y)
        page.mouse.up()

        page.mouse.move(x, y)
        page.mouse.down()
        for far in (20, 40, 60):
            page.mouse.move(x + far, y)
        expect(page.get_by_role("button", name="Later ›")).to_be_enabled()
        page.mouse.up()
        assert "dragged" not in page.url
        page.mouse.click(x + 60, y)
        expect(page).to_have_url(re.compile("#/runs/dragged/r1$"))
        expect(page.get_by_text("Not found")).to_be_visible()


def test_only_the_main_button_opens_a_step_of_a_large_picture(look: Look, system: Embedded) -> None:
    system.client.create("pressed", "steps:\n" + "".join(f"  - {{name: p{n}, command: 'true'}}\n" for n in range(300)))
    with look("#/dags") as page:
        page.goto(re.sub("#.*", "#/dags/pressed", page.url))
        picture = page.get_by_role("img", name="Graph of 300 steps: 300 not started")
        expect(picture).to_have_attribute("data-painted", "300")
        x, y = picture.evaluate(STEP_PLACE)
        page.mouse.click(x, y, button="right")
        page.mouse.click(x, y, button="middle")
        expect(page).to_have_url(re.compile("#/dags/pressed$"))
        # These are the browser's: to the page before, and the size of the whole page.
        for key in ({"key": "ArrowLeft", "altKey": True}, {"key": "0", "ctrlKey": True}, {"key": "-", "metaKey": True}):
            assert picture.evaluate(PRESS, key), key
        assert not picture.evaluate(PRESS, {"key": "0"})
        page.mouse.click(x, y)
        expect(page).to_have_url(re.compile("#/dags/pressed.tab=spec$"))
