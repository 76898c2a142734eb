"""OpenAI's chat completions on Azure: keys in alphabetical order, and what its filters found."""

import re
from collections.abc import Iterator
from typing import Any, Final

from proxy.upstream.fake.ask import Ask, JSONObject, Refused, Request
from proxy.upstream.fake.asks.chat import decode_chat
from proxy.upstream.fake.manner import STATUS, Event, Failure, Refusal, bearer, retry_after
from proxy.upstream.fake.manners.chat import Chat
from proxy.upstream.fake.reply import Reply
from proxy.upstream.fake.seals import Seal

_SAFE: Final = {"filtered": False, "severity": "safe"}
_FILTERS: Final = dict.fromkeys(("hate", "self_harm", "sexual", "violence"), _SAFE)
_JAILBREAK: Final = {"jailbreak": {"filtered": False, "detected": False}}
_PROTECTED: Final = {
    f"protected_material_{name}": {"filtered": False, "detected": False}
    for name in ("code", "text")
}
_PROMPT: Final = [
    {"prompt_index": 0, "content_filter_results": dict(sorted((_FILTERS | _JAILBREAK).items()))}
]
_WORDS: Final = {
    "bad-key": (
        "401",
        "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide"
        " a valid key for an active subscription and use a correct regional API endpoint for your"
        " resource.",
    ),
    "unknown-model": (
        "DeploymentNotFound",
        "The API deployment for this resource does not exist. If you created the deployment within"
        " the last 5 minutes, please wait a moment and try again.",
    ),
    "rate-limit": (
        "429",
        "Requests to the ChatCompletions_Create Operation have exceeded call rate limit of your"
        " current pricing tier.",
    ),
}


class Azure(Chat):
    """Azure's own."""

    name = "azure"
    headers = ((b"apim-request-id", b"5f0c3a"), (b"x-ms-region", b"East US"))

    def decode(self, request: Request, seal: Seal) -> Ask:
        """See `Manner.decode`: a deployment's path names the model, and wants a version."""
        deployment = re.search(r"/openai/deployments/(.+)/chat/completions$", request.path)
        if deployment and "api-version=" not in request.query:
            raise Refused("Resource not found", kind="unknown-model")
        return decode_chat(request.body, deployment[1] if deployment else None)

    def credential(self, request: Request, wanted: str | None) -> tuple[str, bool]:
        """See `Manner.credential`."""
        sent = request.headers.get("api-key") or bearer(request)
        return sent, wanted is None or sent == wanted

    def events(self, reply: Reply) -> Iterator[Event]:
        """See `Manner.events`; what was found in the prompt comes first."""
        for number, event in enumerate(super().events(reply)):
            data = event.data
            if number == 0 and data is not None:
                same = {key: data[key] for key in ("created", "id", "model", "object")}
                prompt = {"choices": [], "prompt_filter_results": _PROMPT}
                yield Event("opening", _sorted(same | prompt))
            yield event if data is None else event._replace(data=_sorted(_filtered(data)))

    def whole(self, reply: Reply) -> JSONObject:
        """See `Manner.whole`."""
        body = super().whole(reply) | {"prompt_filter_results": _PROMPT}
        body.pop("service_tier", None)
        body["choices"] = [
            choice | {"content_filter_results": dict(sorted((_FILTERS | _PROTECTED).items()))}
            for choice in body["choices"]
        ]
        ordered: JSONObject = _sorted(body)
        return ordered

    def refusal(self, failure: Failure) -> Refusal:
        """See `Manner.refusal`."""
        if failure.kind not in _WORDS or failure.message:
            return super().refusal(failure)
        code, message = _WORDS[failure.kind]
        error = {"code": code, "message": message}
        if code == "DeploymentNotFound":
            error = {"type": "invalid_request_error"} | error
        return Refusal(STATUS[failure.kind], {"error": error}, retry_after(failure))

    def growing(self, event: Event, reply: Reply) -> Event:
        """See `Manner.growing`."""
        grown = super().growing(event, reply)
        return grown if grown.data is None else grown._replace(data=_sorted(grown.data))

    def recounted(self, event: Event) -> Event:
        """See `Manner.recounted`."""
        return event


def _filtered(data: JSONObject) -> JSONObject:
    """An event with what was found in what it says."""
    data = {key: value for key, value in data.items() if key != "service_tier"}
    data["choices"] = [
        choice | {"content_filter_results": _FILTERS if choice["delta"].get("content") else {}}
        for choice in data["choices"]
    ]
    return data


def _sorted(data: Any) -> Any:
    """Keys in alphabetical order, but for those of what the filters found."""
    if isinstance(data, list):
        return [_sorted(item) for item in data]
    if not isinstance(data, dict):
        return data
    return {
        key: data[key] if key.endswith("filter_results") else _sorted(data[key])
        for key in sorted(data)
    }
