"""The feed: whatever a model is called, it is XML that readers take."""

from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from proxy.api.feed import ITEMS_PER_STEP, rss
from proxy.wire.slices import at_once
from tests.wares import model

BASE = "http://127.0.0.1:8080/api/v1"


def items(feed: bytes) -> list[dict[str, str | None]]:
    root = ElementTree.fromstring(feed)
    assert (root.tag, root.get("version")) == ("rss", "2.0")
    (channel,) = root
    assert {"title", "link", "description"} <= {child.tag for child in channel}
    return [{child.tag: child.text for child in item} for item in channel.iter("item")]


def test_each_model_is_an_item() -> None:
    (item,) = items(at_once(rss([model()], BASE)))
    assert item == {
        "title": "Acme Large",
        "link": f"{BASE}/model/acme/large",
        "description": "Speaks.",
        "guid": "acme/large",
        "pubDate": "Tue, 14 Nov 2023 22:13:20 +0000",
    }


def test_an_item_without_a_date() -> None:
    (item,) = items(at_once(rss([model(created=None, description=None)], BASE)))
    assert "pubDate" not in item
    assert item["description"] is None


def test_no_models_are_a_feed_too() -> None:
    assert items(at_once(rss([], BASE))) == []


def test_a_long_feed_lets_others_have_their_turn() -> None:
    models = [model(f"acme/{number}") for number in range(2 * ITEMS_PER_STEP + 1)]
    assert len(list(rss(models, BASE))) == 2  # so often it stops
    assert len(items(at_once(rss(models, BASE)))) == len(models)


@given(st.text(), st.text(), st.integers(1, 10**12))
def test_any_text_is_xml(name: str, description: str, created: int) -> None:
    one = model("acme/<&>", name=name, description=description, created=created)
    (item,) = items(at_once(rss([one], BASE)))
    assert item["guid"] == "acme/<&>"
    assert item["link"] == f"{BASE}/model/acme/%3C%26%3E"
