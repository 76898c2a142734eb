"""Rankings, as callers are sent them."""

import json
from typing import Any

from proxy.dialects.forms import Bill
from proxy.dialects.rerank.answer import encode_answer
from proxy.wire.events import Ended, Event, Finished, Produced, Started, Usage
from proxy.wire.request import Ask, Head

HEAD = Head(id="gen-1", created=7, model="a/b", provider="Acme")
DOCUMENTS = ["a", {"text": "b"}, {"image": "https://a.test/x", "text": None, "id": 3}]


def row(index: int, score: float) -> dict[str, Any]:
    return {"index": index, "relevance_score": score}


def answer(*rows: dict[str, Any], bill: Bill | None = None, **fields: Any) -> Any:
    ask = Ask(models=("m",), body={"documents": DOCUMENTS} | fields, task="rerank")
    events: list[Event] = [Started(), Produced(0, [*rows]), Finished(0, "stop", None), Ended()]
    return json.loads(encode_answer(events, HEAD, ask, bill or Bill(Usage())).body)


def test_the_best_come_first_each_as_it_was_sent() -> None:
    assert answer(row(0, 0.1), row(2, 0.5), row(1, 0.9)) == {
        "model": "a/b",
        "results": [
            row(1, 0.9) | {"document": {"text": "b"}},
            row(2, 0.5) | {"document": {"image": "https://a.test/x"}},
            row(0, 0.1) | {"document": {"text": "a"}},
        ],
        "usage": {"cost": 0},
        "provider": "Acme",
        "id": "gen-1",
    }


def test_no_more_than_were_asked_for_and_none_that_is_not_there() -> None:
    said = answer(row(0, 0.1), row(7, 0.9), row(1, 0.3), row(1, 0.2), row(2, 0.2), top_n=2)
    assert [one["index"] for one in said["results"]] == [1, 2]
    assert said["results"][0]["relevance_score"] == 0.3
    assert answer()["results"] == []


def test_usage_is_what_was_counted() -> None:
    both = Bill(Usage(prompt_tokens=3, search_units=1), None, {"a": 1})
    said = answer(bill=both)
    assert said["usage"] == {"total_tokens": 3, "search_units": 1, "cost": 0}
    assert said["openrouter_metadata"] == {"a": 1}
