"""Concurrent edits of a spec, and its versions: ETag, If-Match, versions."""

from concurrent.futures import ThreadPoolExecutor

from services.api.settings import Settings
from tests.conformance.rest_live import Live

ONE, TWO, THREE = (f"steps:\n  - name: s\n    command: echo {word}\n" for word in ("one", "two", "three"))
BROKEN = "steps: ["


def tag_of(live: Live, name: str) -> str:
    response = live.ask("GET", f"/dags/{name}/spec")
    assert response.status_code == 200
    return str(response.headers["ETag"])


def put(live: Live, name: str, spec: str, if_match: str = "") -> tuple[int, str]:
    """Return the status, and the new ETag or the error code."""
    headers = {"If-Match": if_match} if if_match else {}
    response = live.ask("PUT", f"/dags/{name}/spec", {"spec": spec}, headers=headers)
    content = response.get_json()
    return response.status_code, response.headers.get("ETag", "") or content.get("code", "")


def test_a_spec_is_replaced_only_if_it_is_still_the_one_that_was_read(live: Live) -> None:
    live.dag("doc", ONE)
    first = tag_of(live, "doc")

    status, second = put(live, "doc", TWO, first)

    assert (status, second) == (200, tag_of(live, "doc"))
    assert put(live, "doc", THREE, first) == (412, "precondition_failed")
    assert live.get("/dags/doc/spec")["spec"] == TWO
    assert put(live, "doc", THREE, f'"other", {second}')[0] == 200
    assert put(live, "doc", ONE, "*")[0] == 200
    assert put(live, "doc", TWO)[0] == 200
    assert put(live, "doc", ONE, "no tag") == (400, "bad_request")
    assert put(live, "none", ONE, first) == (404, "not_found")
    assert put(live, "doc", BROKEN, first) == (412, "precondition_failed")


def test_of_concurrent_edits_of_one_version_exactly_one_succeeds(live: Live) -> None:
    live.dag("race", ONE)
    tag = tag_of(live, "race")

    def write(number: int) -> int:
        spec = {"spec": f"steps:\n  - echo {number}\n"}
        client = live.client.application.test_client()
        response = client.put("/api/v2/dags/race/spec", json=spec, headers={"If-Match": tag})
        return int(response.status_code)

    with ThreadPoolExecutor(8) as pool:
        found = sorted(pool.map(write, range(8)))

    assert found == [200] + [412] * 7
    assert [each["version"] for each in live.get("/dags/race/versions")["versions"]] == [2, 1]


def test_if_match_can_be_required(live: Live) -> None:
    live.dag("careful", ONE)
    strict = live.app_with(Settings(require_if_match=True))

    assert put(strict, "careful", TWO) == (428, "precondition_required")
    assert put(strict, "careful", TWO, tag_of(strict, "careful"))[0] == 200


def test_every_earlier_spec_is_kept_and_can_be_restored(live: Live) -> None:
    live.dag("past", ONE)
    for spec in (TWO, THREE):
        assert put(live, "past", spec)[0] == 200
    assert live.ask("PUT", "/dags/past/spec", {"spec": BROKEN}).get_json()["errors"]

    versions = live.get("/dags/past.yaml/versions")["versions"]
    assert [each["version"] for each in versions] == [3, 2, 1]
    assert all(each["createdAt"] and each["createdBy"] == "anonymous" for each in versions)
    assert live.get("/dags/past/versions/2")["spec"] == TWO
    newest = live.get("/dags/past/versions/1/diff")
    assert (newest["from"], newest["to"]) == (1, 3)
    assert newest["diff"].splitlines()[-2:] == ["-    command: echo one", "+    command: echo three"]
    between = live.get("/dags/past/versions/2/diff?to=1")["diff"].splitlines()
    assert between[-2:] == ["-    command: echo two", "+    command: echo one"]
    assert live.get("/dags/past/versions/2/diff?to=2")["diff"] == ""

    restored = live.post("/dags/past/versions/1/restore")
    assert restored == {"errors": [], "version": 4}
    assert live.get("/dags/past/spec")["spec"] == ONE
    run_id = live.start("past")
    live.until("past", run_id, 4)
    assert live.get(f"/dag-runs/past/{run_id}/steps/s/log")["content"] == "one"
    for path in ("/dags/past/versions/9", "/dags/past/versions/1/diff?to=9", "/dags/none/versions"):
        assert live.refused("GET", path) == (404, "not_found")
    assert live.refused("GET", "/dags/past/versions/x") == (400, "bad_request")
    assert live.refused("POST", "/dags/past/versions/9/restore") == (404, "not_found")
    assert live.refused("POST", "/dags/none/versions/1/restore") == (404, "not_found")
