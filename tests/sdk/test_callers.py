"""Every scenario in every caller's own words, over every dialect of both kinds of provider.

`test_dialects` does it for chats, `test_npm` for the packages of npm, and the file of each SDK has
what only it can.
"""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any, Final

import anthropic
import pytest
from _pytest.mark import ParameterSet

from tests.running import Running
from tests.sdk import test_responses
from tests.sdk.clients import Client, Failure, JSONObject, Outcome
from tests.sdk.dialects import DIALECTS
from tests.sdk.scenarios import SCENARIOS, Scenario, abroad
from tests.sdk.upstreams import KINDS, LACKS, Spoken, Upstream
from tests.sdk.words import CODES, message_outcome, message_request
from tests.sdk.world import World

pytestmark = pytest.mark.sdk


def _outcome(headers: Mapping[str, str], message: Any, usage: Any) -> Outcome:
    """`usage` is the last that was told; of a stream the message's own has only what the SDK knows,
    and the last what changed.
    """
    told = message.to_dict(mode="json", exclude_none=True)
    counts = told["usage"] | usage.to_dict(exclude_none=True)
    return message_outcome(headers["x-generation-id"], told, counts)


def _failure(error: anthropic.APIStatusError, said: str) -> Failure:
    code = CODES[str(error.type)]
    return Failure(type(error).__name__, error.status_code, code, error.message, said)


class Common:
    """What both kinds of `anthropic` have in common."""

    errors: Mapping[int, str] = {
        400: "BadRequestError",
        401: "AuthenticationError",
        429: "RateLimitError",
        502: "InternalServerError",
    }
    broken_stream = "APIStatusError"
    provider_named = True

    def __init__(self, base_url: str, key: str) -> None:
        self._options: JSONObject = {
            "base_url": base_url.removesuffix("/v1"),  # which this SDK adds itself
            "api_key": key,
            "max_retries": 0,
            "timeout": 20,
        }


class Asynchronous(Common):
    """`anthropic.AsyncAnthropic`."""

    def _open(self) -> anthropic.AsyncAnthropic:
        return anthropic.AsyncAnthropic(**self._options)

    async def models(self) -> list[str]:
        async with self._open() as client:
            return [model.id async for model in client.models.list()]

    async def chat(self, request: JSONObject, *, stream: bool) -> Outcome:
        asked = message_request(request)
        async with self._open() as client:
            if not stream:
                raw: Any = await client.messages.with_raw_response.create(**asked)
                message = await raw.parse()
                return _outcome(raw.headers, message, message.usage)
            usage, text = None, ""
            async with client.messages.stream(**asked) as events:
                async for event in events:
                    if event.type == "message_delta":
                        usage = event.usage
                    if event.type == "text":
                        text += event.text
                told = _outcome(events.response.headers, await events.get_final_message(), usage)
        assert told.text == text
        return told

    async def fail(self, request: JSONObject, *, stream: bool) -> Failure:
        said, asked = "", message_request(request)
        async with self._open() as client:
            try:
                if not stream:
                    await client.messages.create(**asked)
                else:
                    async with client.messages.stream(**asked) as events:
                        async for piece in events.text_stream:
                            said += piece
            except anthropic.APIStatusError as error:
                return _failure(error, said)
        raise AssertionError("no error came")

    async def hang_up(self, request: JSONObject) -> str:
        asked = message_request(request)
        async with self._open() as client, client.messages.stream(**asked) as events:
            async for piece in events.text_stream:
                return piece
        raise AssertionError("no content came")


class Synchronous(Common):
    """`anthropic.Anthropic`; its calls block, so each runs on a thread."""

    def _open(self) -> anthropic.Anthropic:
        return anthropic.Anthropic(**self._options)

    async def models(self) -> list[str]:
        def run() -> list[str]:
            with self._open() as client:
                return [model.id for model in client.models.list()]

        return await asyncio.to_thread(run)

    async def chat(self, request: JSONObject, *, stream: bool) -> Outcome:
        asked = message_request(request)

        def run() -> Outcome:
            with self._open() as client:
                if not stream:
                    raw: Any = client.messages.with_raw_response.create(**asked)
                    message = raw.parse()
                    return _outcome(raw.headers, message, message.usage)
                with client.messages.stream(**asked) as events:
                    usage = [one.usage for one in events if one.type == "message_delta"][-1]
                    return _outcome(events.response.headers, events.get_final_message(), usage)

        return await asyncio.to_thread(run)

    async def fail(self, request: JSONObject, *, stream: bool) -> Failure:
        asked = message_request(request)

        def run() -> Failure:
            said = list[str]()
            with self._open() as client:
                try:
                    if not stream:
                        client.messages.create(**asked)
                    else:
                        with client.messages.stream(**asked) as events:
                            said.extend(events.text_stream)
                except anthropic.APIStatusError as error:
                    return _failure(error, "".join(said))
            raise AssertionError("no error came")

        return await asyncio.to_thread(run)

    async def hang_up(self, request: JSONObject) -> str:
        asked = message_request(request)

        def run() -> str:
            with self._open() as client, client.messages.stream(**asked) as events:
                for piece in events.text_stream:
                    return piece
            raise AssertionError("no content came")

        return await asyncio.to_thread(run)


EVERYWHERE: Final = [Spoken(kind, dialect) for dialect in DIALECTS for kind in KINDS]
AT_HOME: Final = [spoken for spoken in EVERYWHERE if spoken.dialect == "anthropic"]
CALLERS: Final[dict[str, tuple[type[Client], list[Spoken]]]] = {
    "anthropic": (Asynchronous, EVERYWHERE),
    "anthropic-sync": (Synchronous, AT_HOME),
    # `test_responses` has those before the simulated provider.
    "responses": (test_responses.Asynchronous, [one for one in EVERYWHERE if one.kind != "fake"]),
    "responses-sync": (test_responses.Synchronous, [Spoken("aimock", "responses")]),
}
"""Each caller by name, and the providers that it is put before."""


def _rows() -> Iterator[ParameterSet]:
    """All triples; what is known to fail must fail, and the report of the run says why."""
    for name, (_, places) in CALLERS.items():
        for place, spoken in enumerate(places):
            home = spoken.dialect == name.partition("-")[0]
            for scenario in SCENARIOS if home else abroad(place, share=9):
                reason = LACKS.get((spoken, scenario.name))
                fails = pytest.mark.xfail(
                    reason=f"{spoken.kind} as {spoken.dialect}: {reason}",
                    raises=AssertionError,
                    strict=True,
                )
                yield pytest.param(
                    spoken,
                    name,
                    scenario,
                    id="-".join((name, *spoken, scenario.name)),
                    marks=[fails] if reason else [],
                )


@pytest.mark.parametrize(("upstream", "caller", "scenario"), list(_rows()), indirect=["upstream"])
async def test_scenario(
    caller: str, scenario: Scenario, gateway: Running, upstream: Upstream
) -> None:
    client, _ = CALLERS[caller]
    await scenario.run(World.meet(client, gateway, upstream))
