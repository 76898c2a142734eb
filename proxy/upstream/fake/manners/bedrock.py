"""Bedrock's Converse, as it was recorded: keys in alphabetical order, streams in binary frames."""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Final

import orjson

from proxy.upstream.fake.ask import Ask, JSONObject, Request
from proxy.upstream.fake.asks.bedrock import decode_converse
from proxy.upstream.fake.aws import encode_frame, is_signed, is_signed_by, prelude
from proxy.upstream.fake.kinds import listed
from proxy.upstream.fake.manner import STATUS, Event, Failure, Manner, Refusal, bearer
from proxy.upstream.fake.manners.anthropic import arguments_of
from proxy.upstream.fake.reply import Reply, Token, blocks
from proxy.upstream.fake.seals import Seal

_REASONS: Final = {"stop": "end_turn", "tool_calls": "tool_use", "length": "max_tokens"}
_ERRORS: Final = {
    400: "ValidationException",
    403: "UnrecognizedClientException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    500: "InternalServerException",
    503: "ServiceUnavailableException",
}
_STATUS: Final = STATUS | {"bad-key": 403, "unknown-model": 400}
_WORDS: Final = {
    "invalid": "The request is not valid.",
    "bad-key": "The security token included in the request is invalid.",
    "unknown-model": "The provided model identifier is invalid.",
    "too-long": "Input is too long for requested model.",
    "rate-limit": "Too many requests, please wait before trying again.",
    "overloaded": "Bedrock is unable to process your request.",
    "status": (
        "The system encountered an unexpected error during processing. Try your request again."
    ),
}
_PADDING: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ01234567"
_ERROR = "error"


class Bedrock(Manner):
    """Bedrock's own; it never says how long to stay away."""

    name = "bedrock"
    stream_type = b"application/vnd.amazon.eventstream"
    binary = True
    headers = ((b"x-amzn-requestid", b"5f0c3a00-0000-4000-8000-000000000000"),)
    keep_alive = b""
    contents: ClassVar[tuple[str, ...]] = ("delta", "output")

    def decode(self, request: Request, seal: Seal) -> Ask:
        """See `Manner.decode`."""
        return decode_converse(request, seal)

    def credential(self, request: Request, wanted: str | None) -> tuple[str, bool]:
        """See `Manner.credential`: a bearer token, or a signature by ACCESS:SECRET."""
        sent = request.headers.get("authorization", "")
        access, colon, secret = (wanted or "").partition(":")
        if sent.startswith("AWS4-HMAC-SHA256"):
            return sent, is_signed_by(request, access, secret) if colon else is_signed(request)
        return bearer(request), wanted is None or bearer(request) == wanted

    def events(self, reply: Reply) -> Iterator[Event]:
        """See `Manner.events`; the usage comes behind the finish, and ends the stream."""
        yield _event("opening", "messageStart", role="assistant")
        for index, (kind, run) in enumerate(blocks(reply.spoken[0])):
            for event in _block(kind, run, reply):
                data = {"contentBlockIndex": index} | (event.data or {})
                yield event._replace(data=_padded(data))
            yield _event("frame", "contentBlockStop", contentBlockIndex=index)
        yield _event("finish", "messageStop", stopReason=_reason(reply))
        yield _event("done", "metadata", metrics={"latencyMs": 12}, usage=_usage(reply))

    def whole(self, reply: Reply) -> JSONObject:
        """See `Manner.whole`."""
        content: list[JSONObject] = []
        for kind, run in blocks(reply.spoken[0]):
            tokens = list(run)
            text = "".join(token.text for token in tokens)
            match kind:
                case "call":
                    content.append({"toolUse": _call(tokens[0], arguments_of(tokens[1:]))})
                case "reasoning":
                    thought = {"signature": reply.seal.sign(text), "text": text}
                    content.append({"reasoningContent": {"reasoningText": thought}})
                case _:
                    content.append({"text": text})
        return {
            "metrics": {"latencyMs": 12},
            "output": {"message": {"content": content, "role": "assistant"}},
            "stopReason": _reason(reply),
            "usage": _usage(reply),
        }

    def refusal(self, failure: Failure) -> Refusal:
        """See `Manner.refusal`: what kind it is stands in a header."""
        status = failure.status if failure.kind == "status" else _STATUS[failure.kind]
        kind = _ERRORS.get(status, "InternalServerException")
        url = "http://internal.amazon.com/coral/com.amazon.bedrock/"
        header = (b"x-amzn-errortype", f"{kind}:{url}".encode())
        return Refusal(status, {"message": failure.message or _WORDS[failure.kind]}, (header,))

    def error_events(self) -> tuple[Event, ...]:
        """An exception that the service model knows."""
        return (Event("finish", {"message": _WORDS["status"]}, "modelStreamErrorException"),)

    def error_named(self) -> tuple[Event, ...]:
        """An error that it does not know: all of it stands in the headers."""
        return (Event("finish", {}, _ERROR),)

    def models(self, names: Sequence[str], created: int) -> JSONObject:
        """See `Manner.models`."""
        rows = [
            {
                "modelArn": f"arn:aws:bedrock:us-east-1::foundation-model/{name}",
                "modelId": name,
                "modelName": name,
                "providerName": "Weir",
                "inputModalities": ["TEXT", "IMAGE"],
                "outputModalities": ["EMBEDDING" if kind == "embeddings" else "TEXT"],
                "responseStreamingSupported": kind == "chat",
                "customizationsSupported": [],
                "inferenceTypesSupported": ["ON_DEMAND"],
                "modelLifecycle": {"status": "ACTIVE"},
            }
            for name, kind in listed(names, "chat", "embeddings", "rerank")
        ]
        return {"modelSummaries": rows}

    def unfinished(self, data: JSONObject) -> JSONObject | None:
        """See `Manner.unfinished`."""
        if "stopReason" in data and "output" not in data:
            return None
        return {key: value for key, value in data.items() if key != "stopReason"}

    def emptied(self, body: JSONObject) -> JSONObject:
        """See `Manner.emptied`."""
        return body | {"output": {"message": {"content": [], "role": "assistant"}}}

    def encode(self, data: Any) -> bytes:
        """See `Manner.encode`."""
        return orjson.dumps(data, option=orjson.OPT_SORT_KEYS)

    def frame(self, name: str, data: bytes) -> bytes:
        """See `Manner.frame`."""
        if name == _ERROR:
            code = {":error-code": "InternalFailure", ":error-message": _WORDS["status"]}
            return encode_frame(code | {":message-type": "error"}, b"")
        exception = name.endswith("Exception")
        kind = "exception" if exception else "event"
        headers = {f":{kind}-type": name, ":content-type": "application/json"}
        return encode_frame(headers | {":message-type": kind}, data)

    def broken(self, name: str, data: bytes) -> bytes:
        """A message whose checksum is wrong."""
        frame = self.frame(name, data)
        return frame[:-1] + bytes([frame[-1] ^ 0xFF])

    def endless(self) -> bytes:
        """A message that says it is as long as can be."""
        return prelude(0x7FFFFFFF, 0)


def _padded(data: JSONObject) -> JSONObject:
    length = len(orjson.dumps(data)) * 7 % len(_PADDING) + 1
    return dict(sorted((data | {"p": _PADDING[:length]}).items()))


def _event(kind: Any, name: str, **data: Any) -> Event:
    return Event(kind, _padded(data), name)


def _call(token: Token, arguments: Any) -> JSONObject:
    return {"input": arguments, "name": token.name, "toolUseId": f"tooluse_{token.text[:22]}"}


def _block(kind: str, run: Iterator[Token], reply: Reply) -> Iterator[Event]:
    """The events of one block; only a call has one that opens it."""
    if kind == "call":
        call = _call(next(run), "")
        start = {"toolUse": {"name": call["name"], "toolUseId": call["toolUseId"]}}
        yield Event("token", {"start": start}, "contentBlockStart")
    said = ""
    for token in run:
        said += token.text
        delta: JSONObject = {"text": token.text}
        if kind == "call":
            delta = {"toolUse": {"input": token.text}}
        elif kind == "reasoning":
            delta = {"reasoningContent": delta}
        yield Event("token", {"delta": delta}, "contentBlockDelta")
    if kind == "reasoning":
        delta = {"reasoningContent": {"signature": reply.seal.sign(said)}}
        yield Event("frame", {"delta": delta}, "contentBlockDelta")


def _reason(reply: Reply) -> str:
    return "stop_sequence" if reply.stopped_by else _REASONS[reply.spoken[0].finish_reason]


def _usage(reply: Reply) -> JSONObject:
    count = reply.count
    usage: JSONObject = {
        "inputTokens": count.prompt - count.cache_read - count.cache_written,
        "outputTokens": count.completion,
        "serverToolUsage": {},
        "totalTokens": count.prompt + count.completion,
    }
    if reply.ask.marks:
        for name, tokens in (("Read", count.cache_read), ("Write", count.cache_written)):
            usage[f"cache{name}InputTokenCount"] = tokens
            usage[f"cache{name}InputTokens"] = tokens
    return dict(sorted(usage.items()))
