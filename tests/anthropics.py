"""How Anthropic's clients read what Weir answers: by the plainest reading, and by their SDK."""

from typing import Any

from anthropic._models import construct_type
from anthropic._streaming import SSEDecoder
from anthropic.lib.streaming._beta_messages import accumulate_event
from anthropic.types.beta import BetaRawMessageStreamEvent
from pydantic import TypeAdapter

from proxy.dialects.forms import Bill
from proxy.money import Cost
from proxy.wire.events import Usage
from proxy.wire.request import Head

Json = dict[str, Any]
HEAD = Head(id="gen-1", created=1, model="anthropic/claude", provider="Anthropic")
COST = Cost(total_nano=2_000, charge_nano=3_000, prompt_nano=500, completion_nano=1_500)
BILL = Bill(Usage(prompt_tokens=100, completion_tokens=7, cached_tokens=30), COST)
ADDED = {
    "cost": 3e-6,
    "is_byok": False,
    "cost_details": {
        "upstream_inference_cost": 2e-6,
        "upstream_inference_prompt_cost": 5e-7,
        "upstream_inference_completions_cost": 1.5e-6,
    },
}
HEADERS: Any = {}
EVENTS: TypeAdapter[Any] = TypeAdapter(BetaRawMessageStreamEvent)


def frames(body: bytes) -> list[tuple[str, bytes]]:
    """Name and data of each event, by the plainest reading; data as it came."""
    found = []
    for block in body.replace(b"\r\n", b"\n").split(b"\n\n"):
        lines = [line for line in block.split(b"\n") if line and not line.startswith(b":")]
        if lines:
            name, data = lines
            assert name.startswith(b"event: ")
            assert data.startswith(b"data: ")
            found.append((name[7:].decode(), data[6:]))
    return found


def put_together(body: bytes, *, strict: bool) -> Json:
    """The message as Anthropic's SDK puts it together; `strict` events are all that its types
    want, which those of old recordings are not.
    """
    message, pieces = None, dict[int, bytes]()
    events = list(SSEDecoder().iter_bytes(iter([body])))
    assert events[-1].event == "message_stop"
    for sse in events:
        if sse.event == "ping":
            continue
        said: Any = sse.json()
        assert said["type"] == sse.event
        event: Any = construct_type(type_=BetaRawMessageStreamEvent, value=said)
        assert not strict or event == EVENTS.validate_python(said)
        message = accumulate_event(
            event=event, current_snapshot=message, json_bufs=pieces, request_headers=HEADERS
        )
    assert message is not None
    return message.to_dict(mode="json")
