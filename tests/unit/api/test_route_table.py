"""Applications with the same paths share the compiled paths, and keep their own views."""

import pytest
from flask import Flask

from services.api.serving.route_table import RouteTable


def app_that_says(text: str, *more: str) -> Flask:
    routes, app = RouteTable(), Flask("app", static_folder=None)
    routes.add("GET", "/things/<segment:name>", "thing", lambda name: f"{text} {name}")
    for path in more:
        routes.add("POST", path, f"POST {path}", lambda: text)
    routes.install(app)
    return app


def test_the_second_application_compiles_nothing_and_answers_by_its_own_views() -> None:
    one, two = app_that_says("one"), app_that_says("two")

    assert one.url_map is two.url_map
    assert one.test_client().get("/things/a").text == "one a"
    assert two.test_client().get("/things/a").text == "two a"


def test_an_application_serves_its_own_paths_only() -> None:
    one, two = app_that_says("one"), app_that_says("two", "/more")

    assert one.test_client().post("/more").status_code == 404
    assert two.test_client().post("/more").text == "two"
    assert two.test_client().get("/more").status_code == 405


def test_two_views_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two views are named POST /a"):
        app_that_says("one", "/a", "/a")
