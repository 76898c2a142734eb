"""What every format has in common, where it says nothing of its own."""

import pytest
from msgspec.structs import replace

from proxy.dialects import INBOUND, OUTBOUND
from proxy.dialects.forms import Bill, Inbound, Outbound, media_type
from proxy.wire.events import Usage
from proxy.wire.frames import PROCESSING
from tests.plain import ASK


@pytest.mark.parametrize(
    ("stream", "type_"), [(True, "text/event-stream"), (False, "application/json")]
)
def test_the_type_of_most_answers(stream: bool, type_: str) -> None:
    assert media_type(replace(ASK, stream=stream)) == type_
    assert INBOUND["chat"].media_type(replace(ASK, stream=stream)) == type_


def test_a_caller_waits_with_comments_and_is_told_of_errors_unless_its_format_says_else() -> None:
    chat: Inbound = INBOUND["chat"]
    assert (chat.waiting, chat.breaks) == (PROCESSING, False)


def test_a_bill_may_lack_cost_and_routing() -> None:
    assert Bill(Usage()) == Bill(Usage(), cost=None, routing=None)


def test_a_provider_fetches_and_expresses_what_its_row_says_and_no_more() -> None:
    row: Outbound = OUTBOUND["openai"]
    plain = Outbound(*row[:6])
    assert (plain.expresses, plain.fetches, plain.reads_pdf) == (None, frozenset(), True)
    assert (plain.words, plain.same, plain.raw) == (None, None, Outbound._field_defaults["raw"])
    assert not plain.takes_url("https://a.test/b.png")
