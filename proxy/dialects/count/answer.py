"""A count for a caller, as Anthropic tells it; its request is `messages.asked.decode_count`."""

from collections.abc import Iterable

from proxy.dialects.asking import Encoded
from proxy.dialects.chat.pieces import to_json
from proxy.dialects.forms import Bill
from proxy.dialects.values import mapping
from proxy.wire.events import Event, Produced
from proxy.wire.request import Ask, Head


def encode_answer(events: Iterable[Event], head: Head, ask: Ask, bill: Bill) -> Encoded:
    """The count for the caller; a header says who counted."""
    told = next(mapping(one.value) for one in events if isinstance(one, Produced))
    by = "estimate" if told.get("estimated") else "provider"
    return Encoded(to_json({"input_tokens": told["input_tokens"]}), {"X-Token-Count": by})
