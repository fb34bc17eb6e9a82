"""Requests to Dagu 2's API become requests to ours."""

import pytest

from services.api.problems import Problem
from services.api.requests.dagu2_api import read_request


@pytest.mark.parametrize(
    ("path", "query", "read"),
    [
        ("/api/v1/dags", "", ("/api/v2/dags", "")),
        ("/api/v1/dag-runs/d/r/steps/a%2Fb/log", "tail=5", ("/api/v2/dag-runs/d/r/steps/a%2Fb/log", "tail=5")),
        ("/api/v1/dags", "labels=team%3Da&page=2", ("/api/v2/dags", "page=2&tag=team%3Da")),
        ("/api/v1/dag-runs", "tags=etl,", ("/api/v2/dag-runs", "tag=etl&cursor=")),
        ("/api/v1/dag-runs/d", "", ("/api/v2/dag-runs/d", "cursor=")),
        ("/api/v1/dag-runs/d", "cursor=x&limit=5", ("/api/v2/dag-runs/d", "cursor=x&limit=5")),
        ("/api/v1/dag-runs", "fromDate=1", ("/api/v2/dag-runs", "fromDate=1")),
        ("/api/v1/dag-runs/d/r", "", ("/api/v2/dag-runs/d/r", "")),
        ("/api/v1/dags", "labels=", ("/api/v2/dags", "")),
        ("/api/v1/dags/labels", "", ("/api/v2/dags/tags", "")),
        ("/api/v1/dags/labels/start", "", ("/api/v2/dags/labels/start", "")),
    ],
)
def test_a_request_is_read_as_the_same_operation(path: str, query: str, read: tuple[str, str]) -> None:
    assert read_request(path, query) == read


@pytest.mark.parametrize(
    "path", ["/api/v2/dags", "/api/v1", "/api/v10/dags", "/dags/api/v1/x", "/api/v1/docs", "/api/v1/docs/a"]
)
def test_other_paths_are_left_alone(path: str) -> None:
    assert read_request(path, "labels=a") is None


@pytest.mark.parametrize("query", ["labels=a,b", "labels=a&tags=b", "labels=a&labels=a"])
def test_more_than_one_label_is_refused_rather_than_ignored(query: str) -> None:
    with pytest.raises(Problem, match="one label") as refused:
        read_request("/api/v1/dags", query)
    assert refused.value.status == 400
