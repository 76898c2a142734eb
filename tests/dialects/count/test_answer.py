"""A count goes to its caller, with who counted."""

import json
from typing import Any

import pytest

from proxy.dialects.count.answer import encode_answer
from proxy.dialects.forms import Bill
from proxy.wire.events import Produced, Usage
from tests.anthropics import HEAD
from tests.plain import ASK

Json = dict[str, Any]


@pytest.mark.parametrize(("more", "by"), [({}, "provider"), ({"estimated": True}, "estimate")])
def test_the_caller_is_told_who_counted(more: Json, by: str) -> None:
    told = encode_answer([Produced(0, {"input_tokens": 7, **more})], HEAD, ASK, Bill(Usage()))
    assert json.loads(told.body) == {"input_tokens": 7}
    assert told.headers == {"X-Token-Count": by}
