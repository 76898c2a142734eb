"""OpenAI's Responses API, as it was recorded of its models of 2026."""

from collections.abc import Iterator, Sequence
from typing import Any

from proxy.upstream.fake import items, shapes
from proxy.upstream.fake.ask import Ask, JSONObject, Request
from proxy.upstream.fake.asks.responses import decode_responses
from proxy.upstream.fake.items import Item
from proxy.upstream.fake.manner import Event, Failure, Manner, Refusal, bearer
from proxy.upstream.fake.manners.chat import ERROR, Chat
from proxy.upstream.fake.reply import Reply, Token, blocks
from proxy.upstream.fake.seals import Seal

_OBFUSCATION_LENGTH = 16


class Responses(Manner):
    """OpenAI's own, and Azure's."""

    name = "responses"
    headers = Chat.headers
    contents = ("output", "delta", "item", "part")

    def decode(self, request: Request, seal: Seal) -> Ask:
        """See `Manner.decode`."""
        return decode_responses(request, seal)

    def credential(self, request: Request, wanted: str | None) -> tuple[str, bool]:
        """See `Manner.credential`; Azure has a header of its own."""
        own = request.headers.get("api-key") if "/openai/" in request.path else None
        sent = own or bearer(request)
        return sent, wanted is None or sent == wanted

    def events(self, reply: Reply) -> Iterator[Event]:
        """See `Manner.events`: each is numbered, and the last one has all of it once more."""
        for number, event in enumerate(_events(reply)):
            data = (event.data or {}) | {"sequence_number": number}
            if "text" in data and event.name == "response.output_text.done":
                data["text"] = data.pop("text")
            elif event.name == "response.reasoning_summary_text.delta":
                data["summary_index"] = data.pop("summary_index")
            elif event.name.startswith("response.reasoning_summary"):
                data["summary_index"] = data.pop("summary_index")
                data |= {"text": data.pop("text")} if "text" in data else {}
            yield event._replace(data=data)

    def whole(self, reply: Reply) -> JSONObject:
        """See `Manner.whole`."""
        output = []
        for kind, run in blocks(reply.spoken[0]):
            tokens = list(run)
            text = "".join(token.text for token in tokens if token.kind != "call")
            ended = reply.spoken[0].finish_reason != "length"
            item = Item(reply, kind, tokens[0])
            output.append(item.done(text, "completed" if ended else "incomplete"))
        body = items.response(reply, output, ended=True)
        at = list(body).index("background") + 1
        billing = {"billing": {"payer": "developer"}}
        pairs = list(body.items())
        return dict([*pairs[:at], *billing.items(), *pairs[at:]])

    def refusal(self, failure: Failure) -> Refusal:
        """See `Manner.refusal`; a model that is not there is a bad request here."""
        refused = Chat().refusal(failure)
        if failure.kind == "unknown-model":
            message = f"The requested model '{failure.model}' does not exist."
            error = shapes.error(message, "model_not_found")
            error["error"]["param"] = "model"
            return Refusal(400, error)
        return refused

    def error_events(self) -> tuple[Event, ...]:
        """An error, and the answer that failed with it."""
        error = {"type": "error", "code": "server_error", "message": ERROR["error"]["message"]}
        event = {"param": None, "sequence_number": 7}
        return Event("finish", error | event, "error"), *self.error_named()

    def error_named(self) -> tuple[Event, ...]:
        """Only the answer that failed."""
        error = {"code": "server_error", "message": ERROR["error"]["message"]}
        response = {"id": "resp_5f0c3a", "object": "response", "status": "failed", "error": error}
        data = {"type": "response.failed", "response": response | {"output": [], "usage": None}}
        return (Event("finish", data | {"sequence_number": 8}, "response.failed"),)

    def models(self, names: Sequence[str], created: int) -> JSONObject:
        """See `Manner.models`."""
        return shapes.model_list(names, created)

    def unfinished(self, data: JSONObject) -> JSONObject | None:
        """See `Manner.unfinished`: how it ended is its status."""
        if "output" in data:
            return data | {"status": None, "incomplete_details": None}
        response = data.get("response")
        if response and response["status"] != "in_progress":
            return data | {"response": response | {"status": None, "incomplete_details": None}}
        return data

    def uncounted(self, data: JSONObject) -> JSONObject:
        """See `Manner.uncounted`; an event has it one level down."""
        if isinstance(response := data.get("response"), dict):
            return data | {"response": response | {"usage": None}}
        return super().uncounted(data)

    def counted(self, data: JSONObject) -> bool:
        """See `Manner.counted`."""
        return bool((data.get("response") or {}).get("usage"))

    def nulled(self, data: JSONObject) -> JSONObject:
        """See `Manner.nulled`."""
        nulled = super().nulled(data)
        if isinstance(response := data.get("response"), dict):
            nulled["response"] = super().nulled(response)
        return nulled

    def emptied(self, body: JSONObject) -> JSONObject:
        """See `Manner.emptied`."""
        return body | {"output": []}


def _events(reply: Reply) -> Iterator[Event]:
    for kind, name in (("opening", "created"), ("frame", "in_progress")):
        response = items.response(reply, [], ended=False)
        yield _event(kind, name, response=response)
    output = []
    for index, (kind, run) in enumerate(blocks(reply.spoken[0])):
        first = next(run)
        item = Item(reply, kind, first)
        told = "token" if kind == "call" else "frame"
        yield _event(told, "output_item.added", item=item.added(), output_index=index)
        texts = [] if kind == "call" else [first.text]
        yield from _DELTAS[kind](item, index, texts, run)
        ended = reply.spoken[0].finish_reason != "length"
        done = item.done("".join(texts), "completed" if ended else "incomplete")
        yield _event("frame", "output_item.done", item=done, output_index=index)
        output.append(done)
    ended = reply.spoken[0].finish_reason != "length"
    response = items.response(reply, output, ended=True)
    yield _event("done", "completed" if ended else "incomplete", response=response)


_Run = Iterator[Token]


def _text(item: Item, index: int, texts: list[str], run: _Run) -> Iterator[Event]:
    at: JSONObject = {"item_id": item.id, "output_index": index}
    part = {"content_index": 0, **at}
    yield _event("frame", "content_part.added", **part, part=items.part(""))
    for text in _taken(texts, run):
        yield _event(
            "token",
            "output_text.delta",
            content_index=0,
            delta=text,
            item_id=item.id,
            logprobs=[],
            obfuscation=_padding(item.reply, text),
            output_index=index,
        )
    said = "".join(texts)
    done = {"content_index": 0, "item_id": item.id, "logprobs": [], "output_index": index}
    yield _event("frame", "output_text.done", **done, text=said)
    yield _event("frame", "content_part.done", **part, part=items.part(said))


def _thought(item: Item, index: int, texts: list[str], run: _Run) -> Iterator[Event]:
    at: JSONObject = {"item_id": item.id, "output_index": index}
    if item.summed:
        yield _event(
            "frame", "reasoning_summary_part.added", **at, part=items.summary(""), summary_index=0
        )
    for text in _taken(texts, run):
        if item.summed:
            yield _event(
                "token",
                "reasoning_summary_text.delta",
                delta=text,
                item_id=item.id,
                obfuscation=_padding(item.reply, text),
                output_index=index,
                summary_index=0,
            )
    if item.summed:
        said = "".join(texts)
        yield _event("frame", "reasoning_summary_text.done", **at, text=said, summary_index=0)
        part = items.summary(said)
        yield _event("frame", "reasoning_summary_part.done", **at, part=part, summary_index=0)


def _call(item: Item, index: int, texts: list[str], run: _Run) -> Iterator[Event]:
    for text in _taken(texts, run):
        yield _event(
            "token",
            "function_call_arguments.delta",
            delta=text,
            item_id=item.id,
            obfuscation=_padding(item.reply, text),
            output_index=index,
        )
    arguments = "".join(texts)
    at: JSONObject = {"item_id": item.id, "output_index": index}
    yield _event("frame", "function_call_arguments.done", arguments=arguments, **at)


_DELTAS = {"text": _text, "reasoning": _thought, "call": _call}


def _taken(texts: list[str], run: _Run) -> Iterator[str]:
    """The texts there already and those of `run`, which are added to them."""
    yield from list(texts)
    for token in run:
        texts.append(token.text)
        yield token.text


def _event(kind: Any, name: str, **data: Any) -> Event:
    name = f"response.{name}"
    return Event(kind, {"type": name, **data}, name)


def _padding(reply: Reply, text: str) -> str:
    return reply.letters[: _OBFUSCATION_LENGTH - len(text) % _OBFUSCATION_LENGTH]
