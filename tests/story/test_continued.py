"""Every fault of the simulated provider, for callers of text completions: whether the provider
continues texts or only chats, they see, and are charged, what a caller of a chat is.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import orjson
import pytest

from proxy.errors import KINDS, Retry
from proxy.pipeline import reading, relay
from proxy.upstream.fake import FAULTS
from proxy.wire.frames import Splitter
from tests.story import test_faults as faults
from tests.story.test_faults import FORMS, OK, WHOLE, Answered, Bench, Expected, bench

STREAMED: Mapping[str, Expected] = {
    **faults.STREAMED,
    "endless": faults.MALFORMED._replace(within=True),  # the first event has text here
}
MAX_TOKENS = 400_000  # above all that the provider says of its own accord, `giant` included


@pytest.fixture(autouse=True)
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clocks and limits of the other faults."""
    for module, name, value in (
        (relay, "FIRST_COMMENT_S", 30.0),
        (reading, "ANSWER_BYTES_MAX", faults.SMALL_BYTES),
        (Splitter.__init__, "__defaults__", (faults.SMALL_BYTES,)),
    ):
        monkeypatch.setattr(module, name, value)


class Continued(Answered):
    """A text completion, read to its end."""

    @property
    def text(self) -> str:
        if self.headers["Content-Type"] == "application/json":
            return str(orjson.loads(self.raw)["choices"][0]["text"])
        return "".join(choice["text"] for event in self.events for choice in event["choices"])


async def ask(tried: Bench, model: str, *, stream: bool) -> Continued:
    body = {"model": model, "prompt": "hello", "stream": stream, "max_tokens": MAX_TOKENS}
    headers = {"Authorization": f"Bearer {tried.running.key}"}
    url = f"{tried.running.base_url}/completions"
    async with tried.session.post(url, json=body, headers=headers) as response:
        return Continued(response.status, response.headers, await response.read())


def plans() -> Iterator[tuple[str]]:
    return ((fault,) for fault in FAULTS)


@pytest.mark.parametrize("stream", FORMS)
async def test_what_the_caller_of_a_faulty_provider_sees(tmp_path: Path, stream: bool) -> None:
    table = STREAMED if stream else WHOLE
    async with bench(tmp_path) as tried:

        async def check(fault: str) -> None:
            answered = await ask(tried, f"alone/{fault}", stream=stream)
            faults._check(answered, table[fault], fault, stream=stream)
            faults._check_row(tried.row_of(answered), table[fault], fault)

        await faults._at_most(8, check, plans())
        assert len(tried.rows) == len(FAULTS)


@pytest.mark.parametrize("stream", FORMS)
async def test_the_next_provider_is_asked_where_that_is_allowed(
    tmp_path: Path, stream: bool
) -> None:
    table = STREAMED if stream else WHOLE
    async with bench(tmp_path) as tried:

        async def check(fault: str) -> None:
            kind = table[fault].kind
            if kind is None or table[fault].within or KINDS[kind].retry is not Retry.ENDPOINT:
                return
            answered = await ask(tried, f"both/{fault}", stream=stream)
            faults._check(answered, OK, "", stream=stream)
            row = tried.row_of(answered)
            assert [note.error for note in row.attempts] == [kind, None]
            assert row.cost_nano == round(answered.usage["cost"] * 1e9)

        await faults._at_most(8, check, plans())
