"""The list of models as Anthropic's own SDK reads it."""

import pytest
from anthropic.types import ModelInfo
from hypothesis import given
from hypothesis import strategies as st

from proxy.aliases import Alias, Arm
from proxy.api.paging import info_row, page_of
from proxy.errors import GatewayError
from proxy.routing.catalogue import Model
from tests.asgi import call
from tests.wares import NOWHERE, SEVERAL, UNSAID, app_of, model

SDK = [("anthropic-version", "2023-06-01")]


@pytest.mark.parametrize("one", [model(), UNSAID, NOWHERE, SEVERAL], ids=lambda one: one.id)
async def test_anthropics_sdk_reads_every_answer(one: Model) -> None:
    app = app_of(one)
    body = (await call(app, "GET", "/v1/models", headers=SDK)).json
    (row,) = body["data"]
    info = ModelInfo.model_validate(row, strict=False)
    assert (info.id, info.display_name, info.max_input_tokens) == (
        one.id,
        one.name,
        one.context_length,
    )
    assert info.created_at.timestamp() == (one.created or 0)
    assert (body["first_id"], body["last_id"], body["has_more"]) == (one.id, one.id, False)
    assert (await call(app, "GET", f"/api/v1/models/{one.id}", headers=SDK)).json == row


async def test_one_model_alone_is_told_in_anthropics_form_only() -> None:
    app = app_of(model())
    assert (await call(app, "GET", "/v1/models/acme/large")).status == 404
    unknown = await call(app, "GET", "/v1/models/acme/small", headers=SDK)
    assert unknown.json["error"]["type"] == "not_found_error"


async def test_what_anthropics_sdk_is_listed_it_can_ask_for() -> None:
    alias = Alias(id="team/chat", split=(Arm(model="acme/large", weight=1),))
    app = app_of(model(), aliases=(alias,))
    listed = (await call(app, "GET", "/v1/models", headers=SDK)).json["data"]
    assert [row["id"] for row in listed] == ["acme/large", "team/chat"]
    for row in listed:
        assert (await call(app, "GET", f"/v1/models/{row['id']}", headers=SDK)).json == row
    for name in ("large", "acme/large:nitro"):  # as a request may name it
        assert (await call(app, "GET", f"/v1/models/{name}", headers=SDK)).json == listed[0]


@given(st.integers(0, 12), st.integers(1, 5))
def test_pages_are_the_list_from_either_end(total: int, limit: int) -> None:
    models = [model(f"a/{number}") for number in range(total)]
    ids = [one.id for one in models]
    seen, query = [], {"limit": str(limit)}
    while (page := page_of(models, query))["data"]:
        seen += [row["id"] for row in page["data"]]
        assert page["has_more"] == (len(seen) < total)
        query["after_id"] = page["last_id"]
    assert seen == ids
    seen, query = ids[-1:], {"limit": str(limit), "before_id": ids[-1]} if ids else query
    while ids and (page := page_of(models, query))["data"]:
        seen = [row["id"] for row in page["data"]] + seen
        assert page["has_more"] == (len(seen) < total)
        query["before_id"] = page["first_id"]
    assert seen == ids


@pytest.mark.parametrize("name", ["after_id", "before_id"])
def test_a_page_beside_no_model_is_refused(name: str) -> None:
    with pytest.raises(GatewayError, match=name):
        page_of([], {name: "a/b"})


def test_a_model_of_the_far_future_has_a_date() -> None:
    assert info_row(model(created=10**15))["created_at"].startswith("9999-")
