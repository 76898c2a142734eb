"""Every control path is there, once."""

import inspect
from typing import Any
from unittest.mock import MagicMock

from starlette.routing import Route

from proxy import routes


def paths() -> list[tuple[str, str]]:
    """Method and path of every route; nothing is asked of the gateway before a request is."""
    parts: dict[str, Any] = {
        name: MagicMock() for name in inspect.signature(routes.control).parameters
    }
    made = routes.control(parts.pop("office"), **parts)
    return [
        (method, one.path)
        for one in made
        if isinstance(one, Route)
        for method in sorted(one.methods or ())
    ]


def test_every_path_is_there_once() -> None:
    found = paths()
    assert len(found) == len(set(found))
    assert {
        ("GET", "/models"),
        ("GET", "/providers"),
        ("GET", "/images/models"),
        ("GET", "/key"),
        ("GET", "/credits"),
        ("GET", "/generation"),
        ("POST", "/generation/feedback"),
        ("GET", "/aliases"),
        ("GET", "/aliases/{author}/{name}"),
    } < set(found)
