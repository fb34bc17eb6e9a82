"""The log page: read a log while it grows, scroll up, download it."""

import re
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Locator, Route, expect

from tests.harness.cluster import Embedded
from tests.ui.conftest import Look

LINES = 40_000
MORE_THAN_KEPT = 25_000
"""How many lines a log has of which a page cannot hold all."""
_LINES = "each => each.textContent.split('\\n').slice(0, -1)"


def pour(system: Embedded, name: str, lines: int = LINES, then: str = "") -> None:
    """Start a run whose step writes so many numbered lines, then runs the command ``then``."""
    flood = f"seq -f line.%06g.of-a-long-long-log-file {lines}{then}"
    system.client.create(name, f"steps:\n  - name: pour\n    command: {flood}\n")
    system.client.start(name)


def edges(log: Locator) -> tuple[int, int, int]:
    """Return the numbers of the first and last shown lines, and the number of shown lines."""
    lines: list[str] = log.evaluate(_LINES)
    return int(lines[0].split(".")[1]), int(lines[-1].split(".")[1]), len(lines)


def test_a_failed_step_that_wrote_to_stdout_only_shows_that(look: Look, system: Embedded) -> None:
    system.client.create("out-only", "steps: [{name: a, command: echo no table orders; exit 2}]\n")
    system.client.start("out-only")
    system.client.until("failed", "out-only")
    with look("#/runs/out-only/r1?step=a") as page:
        expect(page.get_by_role("log")).to_have_text("no table orders")
        expect(page.get_by_role("button", name="stdout")).to_have_attribute("aria-pressed", "true")
        # Who chooses a stream sees it, even if there is nothing in it.
        page.get_by_role("button", name="stderr").click()
        expect(page.get_by_text("nothing was written")).to_be_visible()
        page.reload()
        expect(page.get_by_role("log")).to_have_text("no table orders")


def test_a_printed_run_has_the_whole_log_and_is_dark_on_light(look: Look, system: Embedded) -> None:
    pour(system, "printed", 300)
    system.client.until("succeeded", "printed")
    with look("#/runs/printed/r1?step=pour", stored={"dagway theme": "dark"}) as page:
        log = page.get_by_role("log")
        expect(log).to_contain_text("line.000300.")
        assert log.evaluate("each => each.scrollHeight > each.clientHeight")
        page.emulate_media(media="print")
        assert log.evaluate("each => each.scrollHeight === each.clientHeight")
        assert page.locator("body").evaluate("each => getComputedStyle(each).color") == "rgb(28, 36, 48)"
        expect(page.get_by_role("banner")).to_be_hidden()
        expect(page.locator("button:visible")).to_have_text(["Graph", "Gantt", "stdout"])
        page.goto(page.url.replace("step=pour", "view=gantt"))
        expect(page.locator(".gantt .bar").first).to_be_visible()


def test_of_an_endless_line_a_part_is_shown_and_the_whole_is_downloaded(look: Look, system: Embedded) -> None:
    system.client.create("one-long-line", "steps: [{name: a, command: \"printf '%300000d\\\\n' 7; echo end\"}]\n")
    system.client.start("one-long-line")
    system.client.until("succeeded", "one-long-line")
    with look("#/runs/one-long-line/r1?step=a") as page:
        log = page.get_by_role("log")
        expect(log).to_contain_text("… 296,000 more characters: see Download")
        assert len(log.text_content() or "") < 5000
        with page.expect_download() as download:
            page.get_by_role("button", name="Download", exact=True).click()
        assert download.value.path().read_text() == f"{7:300000d}\nend\n"


def test_a_long_log_is_shown_by_its_end_and_downloaded_whole(look: Look, system: Embedded) -> None:
    pour(system, "flood")
    system.client.until("succeeded", "flood")
    with look("#/runs/flood/r1?step=pour") as page:
        log = page.get_by_role("log")
        expect(log).to_contain_text(f"line.{LINES:06d}")
        assert edges(log) == (39_001, LINES, 1000)
        page.get_by_role("button", name="Earlier (39,000)").click()
        expect(page.get_by_role("button", name="Earlier (34,000)")).to_be_visible()
        with page.expect_download() as download:
            page.get_by_role("button", name="Download", exact=True).click()
        text = download.value.path().read_text()
        assert download.value.suggested_filename == "pour.stdout.log"
        assert text == "".join(f"line.{number:06d}.of-a-long-long-log-file\n" for number in range(1, LINES + 1))
        assert len(text) > 1_000_000

        # The whole log is searched, and a line in the middle is one jump away. Around it one scrolls on.
        page.get_by_label("Find in the log").fill("LINE.02000")
        expect(page.get_by_text("1 of 10 lines")).to_be_visible()
        expect(log.locator(".current")).to_have_text("line.020000.of-a-long-long-log-file")
        page.get_by_label("Go to line").fill("12345")
        page.keyboard.press("Enter")
        expect(log.locator(".pointed")).to_have_text("line.012345.of-a-long-long-log-file")
        assert edges(log) == (12_145, 13_144, 1000)
        log.evaluate("each => { each.scrollTop = 0 }")
        expect(log).to_contain_text("line.012144.")
        assert edges(log) == (7145, 13_144, 6000)
        log.evaluate("each => { each.scrollTop = each.scrollHeight }")
        expect(log).to_contain_text("line.013145.")
        page.get_by_role("button", name="To the end", exact=True).click()
        expect(log).to_contain_text(f"line.{LINES:06d}")
        assert edges(log) == (39_001, LINES, 1000)


def test_a_page_holds_a_bounded_part_of_a_log_whichever_way_one_goes(
    look: Look, system: Embedded, tmp_path: Path
) -> None:
    done = tmp_path / "done"
    end = f"line.{MORE_THAN_KEPT + 1:06d}.last"
    pour(system, "sea", MORE_THAN_KEPT, f"; until test -e {done}; do sleep 0.05; done; echo {end}")
    with look("#/runs/sea/r1?step=pour") as page:
        log = page.get_by_role("log")
        expect(page.get_by_text("25,000 lines")).to_be_visible()
        expect(log).to_contain_text("line.025000")
        first, last, count = edges(log)
        while first > 1:
            page.get_by_role("button", name=f"Earlier ({first - 1:,})").click()
            expect(page.get_by_role("button", name=f"Earlier ({first - 1:,})")).to_have_count(0)
            first, last, count = edges(log)
            assert count == last - first + 1 <= 20_000
        # Where somebody reads, nothing comes and goes.
        follow = page.get_by_label("Follow", exact=True)
        expect(follow).not_to_be_checked()
        done.touch()
        expect(page.locator(".heading .badge").first).to_have_text("✓succeeded")
        assert edges(log) == (first, last, count)

        seen = last
        page.get_by_role("button", name=f"Later ({MORE_THAN_KEPT - last:,})").click()
        expect(log).to_contain_text(f"line.{seen + 1:06d}")
        first, last, count = edges(log)
        assert last == seen + 5000
        assert count == last - first + 1 <= 20_000
        page.get_by_role("button", name="To the end", exact=True).click()
        expect(log).to_contain_text(end)
        assert edges(log) == (24_002, 25_001, 1000)
        expect(page.get_by_role("button", name="Later", exact=True)).to_have_count(0)


def test_a_line_is_shown_as_a_terminal_leaves_it(look: Look, system: Embedded) -> None:
    said = (
        r"10 %%\r50 %%\rdone\n"
        r"dos\r\n"
        r"\033]0;a title\007\033[1;31mred\033[0m and \033]8;;http://127.0.0.1/\033\\a link\033]8;;\033\\\n"
        r"\033(Bplain \033]not the end of it\n"
    )
    system.client.create("drawn", f"steps:\n  - name: draw\n    script: |\n      printf '{said}'\n")
    system.client.start("drawn")
    with look("#/runs/drawn/r1?step=draw") as page:
        log = page.get_by_role("log")
        expect(log).to_contain_text("plain")
        shown = log.evaluate("each => each.textContent")
        assert shown == "done\ndos\nred and a link\nplain not the end of it\n"


def test_an_address_of_a_line_beyond_the_end_shows_the_end(look: Look, system: Embedded) -> None:
    system.client.create("shorter", "steps: [{name: count, command: seq 1500}]\n")
    system.client.start("shorter")
    system.client.until("succeeded", "shorter")
    with look("#/runs/shorter/r1?step=count&line=5000") as page:
        log = page.get_by_role("log")
        expect(log).to_contain_text("1500")
        assert edges_of(log) == (501, 1500)


def test_a_log_is_not_asked_for_once_its_page_is_left(look: Look, system: Embedded) -> None:
    system.client.create("log-left", "steps: [{name: nap, command: 'echo zzz; sleep 600'}]\n")
    system.client.start("log-left")
    with look("#/runs/log-left/r1?step=nap") as page:
        expect(page.get_by_role("log")).to_contain_text("zzz")
        page.get_by_role("link", name="Queues", exact=True).click()
        expect(page.get_by_role("heading", name="Queues", exact=True)).to_be_visible()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        # The log was asked for each second, and this page itself is every other.
        for _ in range(2):
            page.wait_for_event("request", lambda request: "/queues" in request.url)
        assert [url for url in asked if "/log" in url] == []
        assert system.client.ask("POST", "/dag-runs/log-left/r1/stop").status == 200


def test_what_was_asked_of_a_log_before_an_outage_is_asked_again_after_it(look: Look, system: Embedded) -> None:
    pour(system, "log-asked-twice", 3000)
    system.client.until("succeeded", "log-asked-twice")
    with look("#/runs/log-asked-twice/r1?step=pour", expected=("ERR_FAILED",)) as page:
        page.evaluate("AbortSignal.timeout = () => new AbortController().signal")
        log = page.get_by_role("log")
        expect(log).to_contain_text("line.003000.")
        lost: set[str] = set()

        def lose_the_first(route: Route) -> None:
            kind = urlsplit(route.request.url).path.rpartition("/")[2]
            if kind in lost:
                route.fallback()
            lost.add(kind)

        page.route(re.compile("/steps/pour/log.*offset="), lose_the_first)
        with page.expect_request("**/steps/pour/log/search?*"):
            page.get_by_role("searchbox", name="Find in the log").fill("line.002500")
        with page.expect_request("**/steps/pour/log?*"):
            page.get_by_role("button", name="Earlier (2,000)").click()
        page.route("**/api/v2/health", lambda route: route.abort())
        expect(page.locator(".banner")).to_be_visible()
        page.unroute("**/api/v2/health")
        expect(page.locator(".banner")).to_be_hidden()
        expect(log).to_contain_text("line.000001.")
        expect(page.get_by_text("1 of 1 line")).to_be_visible()
        assert lost == {"log", "search"}


def test_a_log_that_is_not_read_yet_is_not_said_to_be_empty(look: Look, system: Embedded) -> None:
    system.client.create("late-log", "steps: [{name: a, command: echo late}]\n")
    system.client.start("late-log")
    system.client.until("succeeded", "late-log")
    with look("#/runs/late-log/r1") as page:
        page.route("**/steps/a/log*", lambda route: None)
        page.get_by_role("link", name="a", exact=True).first.click()
        log = page.get_by_label("Log of a")
        expect(log.get_by_text("Loading…")).to_be_visible()
        page.unroute("**/steps/a/log*")
        expect(log.get_by_text("1 line", exact=True)).to_be_visible()


def test_found_lines_are_seen_in_forced_colours(look: Look, system: Embedded) -> None:
    system.client.create("forced-hits", "steps: [{name: a, command: 'echo one; echo two; echo one'}]\n")
    system.client.start("forced-hits")
    system.client.until("succeeded", "forced-hits")
    with look("#/runs/forced-hits/r1?step=a") as page:
        page.emulate_media(forced_colors="active")
        page.get_by_label("Find in the log").fill("one")
        expect(page.locator(".line").nth(2)).to_have_css("outline-style", "dashed")
        expect(page.locator(".line").nth(1)).to_have_css("outline-style", "none")


def test_a_log_has_colours_numbers_links_and_search(look: Look, system: Embedded) -> None:
    said = r"\033[31mred\033[0m, \033[1;44mbold on blue\nstill blue\033[0m and plain\nsee http://127.0.0.1:9/x?a=1.\n"
    script = f"printf '{said}'; seq -f number-%g 3000; echo Ärger"
    system.client.create("painted", f"steps:\n  - name: paint\n    script: |\n      {script}\n")
    system.client.start("painted")
    system.client.until("succeeded", "painted")
    with look("#/runs/painted/r1?step=paint&line=2") as page:
        log = page.get_by_role("log")
        expect(log.locator(".pointed")).to_have_text("still blue and plain")
        expect(log.locator(".fg-1")).to_have_text("red")
        expect(log.locator(".bold.bg-4")).to_have_text(["bold on blue", "still blue"])
        assert log.locator(".fg-1").evaluate("each => getComputedStyle(each).color") == "rgb(179, 38, 30)"
        link = log.get_by_role("link", name="http://127.0.0.1:9/x?a=1")
        expect(link).to_have_attribute("rel", "noopener noreferrer")
        # The part with the line is shown; a number is a link to its line.
        assert edges_of(log) == (1, 1000)
        log.locator('.line[data-n="7"]').click(position={"x": 5, "y": 5})
        expect(log.locator(".pointed")).to_have_text("number-4")
        expect(page).to_have_url(re.compile(r"line=7&stream=stdout$"))
        page.get_by_label("Find in the log").press_sequentially("NUMBER-9x")
        page.keyboard.press("Backspace")
        page.keyboard.type("9")
        expect(page.get_by_text("1 of 11 lines")).to_be_visible()
        page.keyboard.press("Enter")
        expect(page.get_by_text("2 of 11 lines")).to_be_visible()
        expect(log.locator(".current")).to_have_text("number-990")
        page.keyboard.press("Tab")
        expect(page.get_by_label("Find in the log")).not_to_be_focused()
        page.get_by_role("button", name="To the end").click()
        expect(log).to_contain_text("number-3000")
        page.get_by_label("Find in the log").fill("ÄRger")
        expect(page.get_by_text("1 of 1 line", exact=True)).to_be_visible()


def edges_of(log: Locator) -> tuple[int, int]:
    """Return the numbers that the first and the last shown line have."""
    numbers: list[str] = log.evaluate("each => [...each.querySelectorAll('.line')].map((one) => one.dataset.n)")
    return int(numbers[0]), int(numbers[-1])


def test_a_log_shows_any_colour_as_one_that_can_be_read(look: Look, system: Embedded) -> None:
    shown = {
        "7": "bg-7 inverse",
        "31;7": "bg-1 inverse",
        "41;7;27": "bg-1",
        "38;5;9": "fg-1",
        "38;5;46": "fg-2",
        "38;5;244": None,
        "38;5": None,
        "48": None,
        "38;2;250;190;20;1": "fg-3 bold",
        "48:2::0:0:200": "bg-4",
        "38:2::0:200:1": "fg-2",
        "4:3": "underline",
    }
    printed = "".join(rf"\033[{each}mtext\033[0m\n" for each in shown)
    spec = f"steps:\n  - name: dye\n    command: printf '%b' '{printed}'\n"
    system.client.create("dyed", spec)
    system.client.start("dyed")
    system.client.until("succeeded", "dyed")
    with look("#/runs/dyed/r1?step=dye") as page:
        lines = page.get_by_role("log").locator(".line")
        expect(lines).to_have_count(len(shown))
        classes = lines.evaluate_all("all => all.map(each => each.firstElementChild?.className ?? null)")
        assert dict(zip(shown, classes, strict=True)) == shown


def test_a_colour_in_a_log_holds_until_it_is_changed_also_by_a_line_without_text(look: Look, system: Embedded) -> None:
    shown = {
        r"\033[31m": None,
        "all": "fg-1",
        r"of it \033[32mgreen\r50%\r\033[K100%": "fg-2",
        r"\r\033[0m": None,
        "none": None,
    }
    printed = "".join(rf"{each}\n" for each in shown)
    system.client.create("colour-lasts", f"steps:\n  - name: dye\n    command: printf '%b' '{printed}'\n")
    system.client.start("colour-lasts")
    system.client.until("succeeded", "colour-lasts")
    with look("#/runs/colour-lasts/r1?step=dye") as page:
        lines = page.get_by_role("log").locator(".line")
        expect(lines).to_have_count(len(shown))
        classes = lines.evaluate_all("all => all.map(each => each.firstElementChild?.className ?? null)")
        assert dict(zip(shown, classes, strict=True)) == shown


def test_a_log_of_very_many_colours_loses_some_and_no_text(look: Look, system: Embedded) -> None:
    line = "".join(f"\\\\033[3{n % 8}m{n % 10}" for n in range(100))
    flood = f'for i in $(seq 500); do printf "{line}\\n"; done'
    system.client.create("motley", f"steps: [{{name: a, command: '{flood}'}}]\n")
    system.client.start("motley")
    system.client.until("succeeded", "motley")
    with look("#/runs/motley/r1?step=a") as page:
        lines = page.get_by_role("log").locator(".line")
        expect(lines).to_have_count(500)
        for shown in (lines.first, lines.last):
            expect(shown).to_have_text("0123456789" * 10)
        expect(lines.first.locator("span")).to_have_count(100)
        expect(lines.last.locator("span")).to_have_count(0)
