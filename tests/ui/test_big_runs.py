"""Large runs and the Gantt chart in a real browser: a picture of any workflow, and a page that stays usable."""

import re

from playwright.sync_api import expect

from tests.harness.accessibility import barriers
from tests.harness.cluster import Embedded
from tests.harness.eventually import eventually
from tests.ui.conftest import Look

PIXELS = """(canvas) => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let painted = 0;
  for (let at = 3; at < data.length; at += 4) painted += data[at] > 0;
  return painted / (data.length / 4);
}"""
"""How much of a canvas has been painted, from 0 to 1."""


STEP_PLACE = """(canvas) => {
  canvas.scrollIntoView({ block: "center" });
  const { left, top, width, height } = canvas.getBoundingClientRect();
  for (let y = 1; y < height; y += 3) for (let x = 1; x < width; x += 3) {
    canvas.dispatchEvent(new PointerEvent("pointermove", { clientX: left + x, clientY: top + y }));
    if (canvas.title) return [left + x, top + y];
  }
}"""
"""Where on the screen some step of the picture is."""


TONES = """(canvas) => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const tones = [];
  for (let at = 0; at < data.length; at += 4) {
    if (data[at + 3] === 255) tones.push(data[at] + data[at + 1] + data[at + 2]);
  }
  return { different: new Set(tones).size, mean: tones.reduce((sum, each) => sum + each, 0) / tones.length / 765 };
}"""
"""How many different tones the boxes of a canvas have, and how light they are: from 0 to 1."""


BEYOND = """(text, [beside, side]) => text.getBoundingClientRect().right
  - text.parentElement.querySelector(beside).getBoundingClientRect()[side]"""
"""How far a text reaches beyond a side of what is drawn beside it, in pixels."""


def test_a_name_is_cut_where_its_room_ends_whatever_its_letters(look: Look, system: Embedded) -> None:
    names = ["W" * 36, "每天早上导入订单并核对库存", "illicit-filling-till-the-limit"]
    client = system.client
    client.create("letters", "steps:\n" + "".join(f"  - {{name: {name}, command: 'true'}}\n" for name in names))
    client.start("letters")
    client.until("succeeded", "letters")
    with look("#/runs/letters/r1") as page:
        graph = page.get_by_role("group", name="Steps and what they depend on")
        for name in names:
            box = graph.get_by_role("link", name=f"{name}: succeeded")
            assert box.locator("text").last.evaluate(BEYOND, ["rect", "right"]) < 0, name
        # Narrow letters need no cut.
        expect(graph.get_by_role("link", name=f"{names[2]}: succeeded")).to_contain_text(names[2])
        page.get_by_role("button", name="Gantt", exact=True).click()
        lanes = page.locator(".gantt .lane")
        expect(lanes).to_have_count(len(names))
        for lane in lanes.all():
            assert lane.evaluate(BEYOND, [".waited", "left"]) < 0, lane.text_content()


def test_a_picture_of_any_size_is_never_an_empty_box(look: Look, system: Embedded) -> None:
    client = system.client
    wide = "type: graph\nsteps:\n" + "".join(f"  - {{name: w{n}, command: 'true'}}\n" for n in range(5000))
    # To record so many steps may take longer than the gateway waits on a busy machine.
    client.ask("POST", "/dags", {"name": "wide-graph", "spec": wide}, key="create-wide-graph")
    eventually(lambda: client.ask("GET", "/dags/wide-graph").status == 200)
    chain = "steps:\n" + "".join(f"  - {{name: c{n}, command: 'true'}}\n" for n in range(300))
    client.create("chain", chain)
    client.create("small", "steps:\n" + "".join(f"  - {{name: s{n}, command: 'true'}}\n" for n in range(10)))
    with look("#/dags/wide-graph") as page:
        for name, count in (("wide-graph", 5000), ("chain", 300)):
            page.goto(re.sub("#.*", f"#/dags/{name}", page.url))
            picture = page.get_by_role("img", name=f"Graph of {count} steps: {count} not started")
            expect(picture).to_have_attribute("data-painted", str(count))
            assert picture.evaluate(PIXELS) > 0.05, name
            # Where not all is in sight, a map in the corner shows the place, and a click on it leads to another.
            expect(picture).to_have_attribute("data-map", "false")
            for _ in range(6):
                page.get_by_role("button", name="Zoom in").click()
            expect(picture).to_have_attribute("data-map", "true")
            shown = picture.evaluate("canvas => canvas.toDataURL()")
            room = picture.bounding_box()
            assert room is not None
            picture.click(position={"x": room["width"] - 14, "y": room["height"] - 12})
            page.wait_for_function("before => document.querySelector('.big-graph').toDataURL() !== before", arg=shown)
            page.get_by_role("button", name="Fit").click()
            expect(picture).to_be_visible()
            # A click on a step leads to it; this DAG never ran, so to its spec.
            x, y = picture.evaluate(STEP_PLACE)
            page.mouse.click(x, y)
            expect(page).to_have_url(re.compile(f"#/dags/{name}.tab=spec$"))

        page.goto(re.sub("#.*", "#/dags/small", page.url))
        graph = page.get_by_role("group", name="Steps and what they depend on")
        before = graph.bounding_box()
        page.get_by_role("button", name="Zoom in").click()
        page.get_by_role("button", name="Zoom in").click()
        after = graph.bounding_box()
        assert before is not None
        assert after is not None
        assert after["width"] > before["width"]
        page.get_by_role("button", name="Fit").click()
        box, room = graph.bounding_box(), page.locator(".graph-box .canvas").bounding_box()
        assert box is not None
        assert room is not None
        assert box["width"] <= room["width"]


def test_a_picture_on_a_canvas_is_printed_light_and_can_be_read_in_forced_colours(look: Look, system: Embedded) -> None:
    steps = "".join(f"  - {{name: p{n}, command: 'true'}}\n" for n in range(260))
    system.client.create("on-paper", f"steps:\n{steps}")
    warned = ("willReadFrequently",)  # of the reading below
    with look("#/dags/on-paper", stored={"dagway theme": "dark"}, expected=warned) as page:
        picture = page.get_by_role("img", name="Graph of 260 steps")
        expect(picture).to_have_attribute("data-map", "false")
        for _ in range(6):
            page.get_by_role("button", name="Zoom in").click()
        expect(picture).to_have_attribute("data-map", "true")
        assert picture.evaluate(TONES)["mean"] < 0.4
        page.evaluate(
            f"""() => matchMedia("print").addEventListener("change", (paper) => {{
                if (paper.matches) globalThis.printed = ({TONES})(document.querySelector(".big-graph"));
            }})"""
        )
        page.pdf()
        assert page.evaluate("printed")["mean"] > 0.6

        page.emulate_media(forced_colors="active")
        page.get_by_role("button", name="Fit").click()
        expect(picture).to_have_attribute("data-map", "false")
        assert picture.evaluate(TONES)["different"] > 1


def test_a_workflow_of_few_steps_with_very_many_lines_is_drawn_at_once(look: Look, system: Embedded) -> None:
    steps = "".join(
        f"  - {{name: d{n}, command: 'true', depends: [{', '.join(f'd{k}' for k in range(n))}]}}\n" for n in range(120)
    )
    system.client.create("dense", f"type: graph\nsteps:\n{steps}")
    with look("#/dags/dense") as page:
        picture = page.get_by_role("img", name="Graph of 120 steps: 120 not started")
        expect(picture).to_have_attribute("data-painted", "120")


def test_the_gantt_chart_shows_every_attempt(look: Look, system: Embedded) -> None:
    system.client.create(
        "gantt-attempts",
        "steps:\n  - {name: slow, command: sleep 0.4}\n"
        "  - {name: flaky, command: 'false', retryPolicy: {limit: 2, intervalSec: 0}}\n",
    )
    system.client.start("gantt-attempts")
    system.client.until("failed", "gantt-attempts")
    with look("#/runs/gantt-attempts/r1") as page:
        page.get_by_role("button", name="Gantt", exact=True).click()
        chart = page.get_by_role("group", name="Steps by time")
        expect(chart.get_by_role("link", name=re.compile(r"^slow: \d+ ms$|^slow: [\d.]+ s$"))).to_be_visible()
        expect(chart.get_by_role("link", name=re.compile("^flaky: ")).locator(".is-failed")).to_have_count(3)
        chart.get_by_role("link", name=re.compile("^flaky: ")).click()
        expect(page.get_by_role("region", name="Step flaky")).to_contain_text("Attempts3")
        # Its letters keep their size when the window gets another one, although nothing is loaded again.
        size = chart.get_attribute("viewBox")
        page.set_viewport_size({"width": 420, "height": 800})
        expect(chart).not_to_have_attribute("viewBox", size or "")


def test_the_time_scale_of_a_long_gantt_chart_stays_in_sight(look: Look, system: Embedded) -> None:
    steps = "".join(f"  - {{name: s{n}, command: 'true'}}\n" for n in range(60))
    system.client.create("gantt-scrolled", f"type: graph\nsteps:\n{steps}")
    system.client.start("gantt-scrolled")
    system.client.until("succeeded", "gantt-scrolled")
    with look("#/runs/gantt-scrolled/r1?view=gantt") as page:
        chart = page.locator(".canvas.gantt")
        expect(chart.locator(".lane")).to_have_count(60)
        assert chart.evaluate("each => each.scrollHeight > 1.5 * each.clientHeight")
        for top in ("0", "each.scrollHeight / 3", "each.scrollHeight"):
            hidden = chart.evaluate(
                f"each => {{ each.scrollTop = {top}; return each.querySelector('.scale').getBoundingClientRect().bottom"
                " - each.getBoundingClientRect().bottom; }"
            )
            assert hidden <= 0, top


def test_what_a_step_called_is_opened_in_the_graph(look: Look, system: Embedded) -> None:
    system.client.create(
        "opens",
        "steps:\n  - {name: one, call: opened}\n"
        "  - {name: many, call: opened, parallel: [a, b, c]}\n  - {name: last, command: 'true'}\n"
        "---\nname: opened\nsteps:\n  - {name: inner a, command: 'true'}\n  - {name: inner b, command: 'true'}\n",
    )
    system.client.start("opens")
    system.client.until("succeeded", "opens")
    with look("#/runs/opens/r1") as page:
        graph = page.get_by_role("group", name="Steps and what they depend on")
        expect(graph.locator(".node")).to_have_count(3)
        graph.get_by_role("link", name="Open the runs of one").click()
        expect(graph.locator(".node")).to_have_count(5)
        graph.get_by_role("link", name="Open the runs of many").click()
        expect(graph.locator(".node")).to_have_count(8)
        assert barriers(page) == []
        # The address has it, and the steps lead to their own run.
        page.reload()
        expect(graph.locator(".node")).to_have_count(8)
        graph.get_by_role("link", name="Close the runs of many").click()
        expect(graph.locator(".node")).to_have_count(5)
        graph.get_by_role("link", name="one › inner a: succeeded").click()
        expect(page.get_by_role("region", name="Step inner a")).to_be_visible()
        expect(page).to_have_url(re.compile("#/runs/opens/r1/sub/"))
