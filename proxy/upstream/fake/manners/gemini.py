"""Google's Gemini API, and the same on Vertex, whose keys stand in another order."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Final

from proxy.upstream.fake.ask import Ask, JSONObject, Refused, Request, child
from proxy.upstream.fake.asks.gemini import decode_contents
from proxy.upstream.fake.kinds import listed
from proxy.upstream.fake.manner import (
    STATUS,
    Event,
    Failure,
    Headers,
    Manner,
    Refusal,
    bearer,
)
from proxy.upstream.fake.manners.anthropic import arguments_of
from proxy.upstream.fake.manners.showing import (
    details,
    modality,
    parts_of,
    refused,
    shown_tokens,
    spoken,
)
from proxy.upstream.fake.reply import Reply, Token, blocks
from proxy.upstream.fake.seals import Seal

_REASONS: Final = {"length": "MAX_TOKENS"}
_STATUSES: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_WORDS: Final = {
    "invalid": "Request contains an invalid argument.",
    "bad-key": "API key not valid. Please pass a valid API key.",
    "unknown-model": (
        "models/{model} is not found for API version v1beta, or is not supported for"
        " generateContent. Call ModelService.ListModels to see the list of available models and"
        " their supported methods."
    ),
    "too-long": (
        "The input token count (1048577) exceeds the maximum number of tokens allowed (1048576)."
    ),
    "rate-limit": "You exceeded your current quota, please check your plan.",
    "overloaded": "The model is overloaded. Please try again later.",
    "status": "An internal error has occurred. Please retry.",
}
_METHODS: Final = {
    "chat": ("generateContent", "countTokens"),
    "embeddings": ("embedContent", "countTokens"),
    "image": ("predict",),
}
_RPC: Final = "type.googleapis.com/google.rpc."


class Gemini(Manner):
    """Google's own."""

    name = "gemini"
    headers: ClassVar[Headers] = ((b"server-timing", b"gfet4t7; dur=12"),)
    stream_type = b"text/event-stream"
    labels_errors = True
    contents: ClassVar[tuple[str, ...]] = ("candidates",)
    usages = ("usageMetadata",)
    calls_end: ClassVar[bool] = False

    def decode(self, request: Request, seal: Seal) -> Ask:
        """See `Manner.decode`. A stream without alt=sse is an array of JSON, not spoken here."""
        if request.path.endswith(":streamGenerateContent") and "alt=sse" not in request.query:
            raise Refused("This simulated provider streams only with alt=sse.")
        return decode_contents(request, seal)

    def credential(self, request: Request, wanted: str | None) -> tuple[str, bool]:
        """See `Manner.credential`."""
        sent = request.headers.get("x-goog-api-key") or bearer(request)
        return sent, wanted is None or sent == wanted

    def events(self, reply: Reply) -> Iterator[Event]:
        """See `Manner.events`: a call comes whole, and a last part has no text."""
        said = ""
        kept: list[JSONObject] = []
        for kind, run in blocks(spoken(reply)):
            if kind == "call":
                kept.append(self._call_part(reply, list(run)))
                if not self.calls_end:
                    yield Event("token", self._chunk(reply, [kept.pop()]))
                continue
            for token in run:
                said += token.text if kind == "text" else ""
                part: JSONObject = {"text": token.text}
                if kind == "text":
                    yield Event("token", self._chunk(reply, [part]))
                elif _shows_thoughts(reply):
                    yield Event("token", self._chunk(reply, [part | {"thought": True}]))
        for part in parts_of(reply):
            yield Event("token", self._chunk(reply, [part]))
        last: JSONObject = {"text": ""}
        if reply.thinks and not reply.calls:
            last["thoughtSignature"] = reply.seal.sign("text", said)
        yield Event("finish", self._chunk(reply, kept or [last], ended=True))

    def whole(self, reply: Reply) -> JSONObject:
        """See `Manner.whole`."""
        parts: list[JSONObject] = []
        for kind, run in blocks(spoken(reply)):
            tokens = list(run)
            text = "".join(token.text for token in tokens)
            if kind == "call":
                parts.append(self._call_part(reply, tokens))
            elif kind == "text":
                signed = {"thoughtSignature": reply.seal.sign("text", text)} if reply.thinks else {}
                parts.append({"text": text} | signed)
            elif _shows_thoughts(reply):
                parts.append({"text": text, "thought": True})
        parts += parts_of(reply)
        return self._chunk(reply, parts, ended=True, whole=True)

    def refusal(self, failure: Failure) -> Refusal:
        """See `Manner.refusal`: a wrong key is a bad request, and how long to wait is a detail."""
        status = failure.status if failure.kind == "status" else STATUS[failure.kind]
        message = failure.message or _WORDS[failure.kind].format(model=failure.model)
        details: list[JSONObject] = []
        if failure.kind == "bad-key":
            status, details = self._bad_key(message)
        if failure.retry_after_s is not None:
            quota = {"quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"}
            details = [
                {"@type": f"{_RPC}QuotaFailure", "violations": [quota]},
                {"@type": f"{_RPC}RetryInfo", "retryDelay": f"{failure.retry_after_s}s"},
            ]
        return Refusal(status, _error(status, message, details))

    def error_events(self) -> tuple[Event, ...]:
        """See `Manner.error_events`."""
        return (Event("finish", _error(503, _WORDS["overloaded"], [])),)

    def models(self, names: Sequence[str], created: int) -> JSONObject:
        """See `Manner.models`."""
        rows = [
            {
                "name": f"models/{name}",
                "version": "001",
                "displayName": name,
                "description": "A simulated model.",
                "inputTokenLimit": 131_072,
                "outputTokenLimit": 32_768,
                "supportedGenerationMethods": list(_METHODS[kind]),
                "temperature": 1,
                "topP": 0.95,
                "topK": 64,
            }
            for name, kind in listed(names, *_METHODS)
        ]
        return {"models": rows}

    def unfinished(self, data: JSONObject) -> JSONObject | None:
        """See `Manner.unfinished`."""
        kept = [
            {key: value for key, value in row.items() if key != "finishReason"}
            for row in data["candidates"]
        ]
        return data | {"candidates": kept}

    def emptied(self, body: JSONObject) -> JSONObject:
        """See `Manner.emptied`."""
        return body | {"candidates": []}

    def recounted(self, event: Event) -> Event:
        """See `Manner.recounted`."""
        data = {key: value for key, value in (event.data or {}).items() if key != "candidates"}
        return Event("usage", data)

    def encode(self, data: Any) -> bytes:
        """See `Manner.encode`: with a space behind each colon."""
        return json.dumps(data, ensure_ascii=False, separators=(",", ": ")).encode()

    def frame(self, name: str, data: bytes) -> bytes:
        """See `Manner.frame`: with CR LF."""
        return b"data: " + data + b"\r\n\r\n"

    def _call_part(self, reply: Reply, tokens: Sequence[Token]) -> JSONObject:
        """A whole call; only the first of parallel ones is signed, and only Gemini 3's have ids."""
        start, arguments = tokens[0], arguments_of(tokens[1:])
        call: JSONObject = {"name": start.name, "args": arguments}
        part: JSONObject = {"functionCall": call}
        if not self.calls_end:
            call["id"] = start.text[:8].lower()
        if reply.thinks and start.call == 0:
            canonical = json.dumps(arguments, sort_keys=True)
            part["thoughtSignature"] = reply.seal.sign("call", start.name, canonical)
        return part

    def _bad_key(self, message: str) -> tuple[int, list[JSONObject]]:
        service = {"service": "generativelanguage.googleapis.com"}
        info = {"@type": f"{_RPC}ErrorInfo", "reason": "API_KEY_INVALID"}
        local = {"@type": f"{_RPC}LocalizedMessage", "locale": "en-US", "message": message}
        return 400, [info | {"domain": "googleapis.com", "metadata": service}, local]

    def _usage(self, reply: Reply, *, ended: bool) -> JSONObject:
        count = reply.count
        said = count.completion - count.reasoning + shown_tokens(reply)
        usage: JSONObject = {"promptTokenCount": count.prompt}
        if said:
            usage["candidatesTokenCount"] = said
        usage["totalTokenCount"] = count.prompt + said + count.reasoning
        usage["promptTokensDetails"] = modality(count.prompt)
        if count.reasoning and (said or ended):
            usage["thoughtsTokenCount"] = count.reasoning
        if shown_tokens(reply):
            usage["candidatesTokensDetails"] = details(reply)
        return usage | {"serviceTier": "standard"}

    def _chunk(
        self, reply: Reply, parts: list[JSONObject], *, ended: bool = False, whole: bool = False
    ) -> JSONObject:
        candidate: JSONObject = {"content": {"parts": parts, "role": "model"}}
        if ended:
            reason = reply.spoken[0].finish_reason
            candidate["finishReason"] = _REASONS.get(reason, "STOP")
            if refused(reply):
                candidate["finishReason"] = "IMAGE_SAFETY"
        candidate["index"] = 0
        if whole and reply.calls:
            candidate["finishMessage"] = "Model generated function call(s)."
        return {
            "candidates": [candidate],
            "usageMetadata": self._usage(reply, ended=ended),
            "modelVersion": reply.ask.model,
            "responseId": reply.letters[:22],
        }


class Vertex(Gemini):
    """Gemini 2.5 on Vertex, as it was recorded: only the last event of a stream has the usage, and
    all the calls.
    """

    name = "vertex-gemini"
    calls_end = True

    def models(self, names: Sequence[str], created: int) -> JSONObject:
        """See `Manner.models`."""
        rows = [
            {"name": f"publishers/google/models/{name}", "versionId": "default"}
            for name, _ in listed(names, *_METHODS)
        ]
        return {"publisherModels": rows}

    def _bad_key(self, message: str) -> tuple[int, list[JSONObject]]:
        return 401, []

    def _usage(self, reply: Reply, *, ended: bool) -> JSONObject:
        if not ended:
            return {"trafficType": "ON_DEMAND"}
        count = reply.count
        said = count.completion - count.reasoning + shown_tokens(reply)
        usage: JSONObject = {
            "promptTokenCount": count.prompt,
            "candidatesTokenCount": said,
            "totalTokenCount": count.prompt + said + count.reasoning,
            "trafficType": "ON_DEMAND",
            "promptTokensDetails": modality(count.prompt),
            "candidatesTokensDetails": details(reply),
        }
        return usage | ({"thoughtsTokenCount": count.reasoning} if count.reasoning else {})

    def _chunk(
        self, reply: Reply, parts: list[JSONObject], *, ended: bool = False, whole: bool = False
    ) -> JSONObject:
        chunk = super()._chunk(reply, parts, ended=ended)
        candidate: JSONObject = {"content": {"role": "model", "parts": parts}}
        if ended:
            candidate["finishReason"] = chunk["candidates"][0]["finishReason"]
        response_id = chunk.pop("responseId")
        time = {"createTime": "2025-06-15T00:00:00.000000Z", "responseId": response_id}
        return chunk | {"candidates": [candidate]} | time


def _shows_thoughts(reply: Reply) -> bool:
    return child(reply.ask.body, "thinkingConfig").get("includeThoughts") is True


def _error(code: int, message: str, details: list[JSONObject]) -> JSONObject:
    error: JSONObject = {"code": code, "message": message}
    error["status"] = _STATUSES.get(code, "UNKNOWN")
    return {"error": error | ({"details": details} if details else {})}
