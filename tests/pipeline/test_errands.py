"""What a request waits for before its first provider, and every way that can end."""

import asyncio
import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from proxy.errors import GatewayError
from proxy.pipeline.errands import SPARE_S, Errands
from proxy.pipeline.exchange import Exchange
from proxy.pipeline.provision import Provisioner
from proxy.routing.catalogue import Endpoint
from proxy.upstream.egress import Egress
from proxy.upstream.found import Fetched
from proxy.upstream.pdf import Reader
from proxy.upstream.signing import PREPARE_S, Signing
from proxy.wire.events import Usage
from proxy.wire.request import Ask
from tests.clock import play
from tests.stage import (
    DONE,
    END,
    GOOD,
    HEAD,
    KEY,
    SECRET,
    Client,
    Providers,
    Script,
    Stage,
    chunk,
    endpoint,
    snapshot,
)
from tests.stage import model as one_of

HEALTHY: Script = [(0.1, HEAD), (0.2, GOOD), (0.3, END)]
IMAGE = {"type": "image_url", "image_url": {"url": "https://h.test/a.png"}}
PAPER = {
    "type": "file",
    "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="},
}


class Slow(Egress):
    """Fetches in ten seconds."""

    async def fetch(self, url: str, **_: Any) -> Fetched:
        await asyncio.sleep(10.0)
        return Fetched("image/png", b"png", url)


class Lost(Egress):
    async def fetch(self, url: str, **_: Any) -> Fetched:
        raise GatewayError("provider_lacks_media", "The URL can not be fetched: x.")


class Broken(Egress):
    async def fetch(self, url: str, **_: Any) -> Fetched:
        raise ZeroDivisionError


class Words(Reader):
    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    async def text(self, data: bytes, *, bytes_max: int) -> str:
        return self._text


class Tokens(Signing):
    """Waits for a token for three seconds."""

    def __init__(self, keys: Mapping[str, Sequence[str]]) -> None:
        super().__init__(keys)
        self.lent = {"p0", "p1"}

    def unready(self, slugs: Iterable[str], now: float) -> tuple[str, ...]:
        return tuple(sorted(slugs))

    async def prepare(
        self, slugs: Iterable[str], now: float, *, within_s: float = PREPARE_S
    ) -> None:
        await asyncio.sleep(min(3.0, within_s))


class Lacking(Tokens):
    """Only one that is asked after another lacks a token."""

    def unready(self, slugs: Iterable[str], now: float) -> tuple[str, ...]:
        return tuple(slug for slug in slugs if slug == "p1")


def needy(slug: str) -> Endpoint:
    """One that fetches and reads nothing."""
    plain = endpoint(slug)
    quirks = replace(plain.provider.quirks, fetches=(), reads_pdf=False)
    return replace(plain, provider=replace(plain.provider, quirks=quirks))


def fetching(slug: str) -> Endpoint:
    plain = endpoint(slug)
    quirks = replace(plain.provider.quirks, fetches=("image", "file"), reads_pdf=True)
    return replace(plain, provider=replace(plain.provider, quirks=quirks))


def told(
    *parts: dict[str, Any],
    ends: Iterable[Endpoint] = (needy("p0"),),
    egress: Egress | None = None,
    text: str = "",
    signing: Signing | None = None,
    scripts: Iterable[Script] = (HEALTHY, HEALTHY),
    credit_nano: int | None = None,
    act: Callable[[Client, Stage], None] = lambda client, stage: None,
    **more: Any,
) -> tuple[Client, Stage]:
    """What became of one request with those attachments."""
    content = [{"type": "text", "text": "see"}, *parts]
    messages = [{"role": "user", "content": content}]
    asked = {"model": "test/one", "stream": True, "messages": messages} | more

    async def story() -> tuple[Client, Stage]:
        headers = {"Authorization": f"Bearer {SECRET}"}
        client = Client(orjson.dumps(asked), headers)
        model = replace(one_of("test/one", *ends), input_modalities=("text", "image"))
        key = None if credit_nano is None else KEY
        stage = Stage(Providers(*scripts), model, credit_nano=credit_nano, key=key)
        stage.snapshot = stage.snapshot._replace(
            provisioner=Provisioner(egress or Slow(), Words(text)),
            signing=signing or stage.snapshot.signing,
        )
        act(client, stage)
        await stage.ask(client)
        return client, stage

    return play(story())


def sent(stage: Stage, call: int = 0) -> Any:
    body = stage.providers.calls[call].call.body
    assert body is not None
    return orjson.loads(body)["messages"][0]["content"]


def test_without_attachments_nobody_waits() -> None:
    client, stage = told()
    assert client.ended_at == 0.2
    assert stage.row.status == 200


def test_a_url_is_fetched_before_the_first_is_asked() -> None:
    client, stage = told(IMAGE)
    assert client.text == "hello world"
    data = base64.b64encode(b"png").decode()
    assert sent(stage)[1]["image_url"]["url"] == f"data:image/png;base64,{data}"
    assert client.ended_at == 10.2
    assert stage.row.media_prompt == 1


def test_tokens_and_attachments_are_waited_for_together() -> None:
    client, _ = told(IMAGE, signing=Tokens({}))
    assert client.ended_at == 10.2
    client, _ = told(signing=Tokens({}))
    assert client.ended_at == 3.2


def test_who_is_asked_later_is_not_waited_for_as_long() -> None:
    ends = [endpoint("p0"), endpoint("p1")]
    client, _ = told(ends=ends, signing=Lacking({}))
    assert client.ended_at == SPARE_S + 0.2
    client, _ = told(ends=ends[::-1], signing=Lacking({}))
    assert client.ended_at == 3.2


def test_what_could_not_be_fetched_fails_only_who_needs_it() -> None:
    client, stage = told(IMAGE, ends=[needy("p0"), fetching("p1")], egress=Lost())
    assert client.text == "hello world"
    assert [(one.provider, one.error) for one in stage.row.attempts] == [
        ("p0", "provider_lacks_media"),
        ("p1", None),
    ]
    assert sent(stage)[1] == IMAGE


def test_nobody_could_be_sent_it() -> None:
    client, stage = told(IMAGE, egress=Lost(), stream=False)
    assert client.status == 400
    assert client.error["message"].startswith("messages[0].content[1].image_url.url: The URL")
    assert client.error["metadata"]["error_type"] == "image_download_failed"
    assert stage.providers.calls == []
    assert stage.row.cost_nano == 0


def test_a_hang_up_ends_the_fetch() -> None:
    def act(client: Client, stage: Stage) -> None:
        client.later(4.0, client.hang_up)

    client, stage = told(IMAGE, act=act, credit_nano=10**12)
    assert client.now < 5.0
    assert stage.providers.calls == []
    assert (stage.row.status, stage.row.cancelled, stage.row.cost_nano) == (499, True, 0)
    assert stage.flow.under_way == 0


def test_the_end_of_the_gateway_ends_the_fetch() -> None:
    def act(client: Client, stage: Stage) -> None:
        client.later(4.0, stage.flow.stop)

    client, stage = told(IMAGE, act=act)
    assert client.status == 503
    assert client.ended_at == 4.0
    assert stage.row.error == "draining"


def test_a_server_may_cancel_it() -> None:
    def act(client: Client, stage: Stage) -> None:
        task = asyncio.current_task()
        assert task is not None
        client.later(4.0, task.cancel)

    with pytest.raises(asyncio.CancelledError):
        told(IMAGE, act=act)


def test_a_bug_is_told_as_one() -> None:
    client, _ = told(IMAGE, egress=Broken())
    assert client.status == 500


def test_a_file_that_became_text_is_held_for() -> None:
    """A thousandth of a dollar a token, and one token a byte of text."""
    enough = 100 * 10**9
    _, before = told(PAPER, text="", credit_nano=enough, max_tokens=1)
    client, stage = told(PAPER, text="x" * 5000, credit_nano=enough, max_tokens=1)
    assert client.text == "hello world"
    assert sent(stage)[1]["text"] == f'<file name="a.pdf">\n{"x" * 5000}\n</file>'
    assert stage.row.held_nano - before.row.held_nano == 5000 * 1_000_000


@pytest.mark.parametrize("more", [{"max_tokens": 1}, {}])
def test_text_that_is_not_covered_is_refused(more: dict[str, Any]) -> None:
    client, stage = told(PAPER, text="x" * 50_000, credit_nano=20 * 10**9, **more)
    assert client.status == 402
    assert stage.providers.calls == []
    assert (stage.row.status, stage.row.cost_nano, stage.row.held_nano) == (402, 0, 0)


def test_who_hangs_up_while_more_is_held_is_not_asked_for() -> None:
    def act(client: Client, stage: Stage) -> None:
        hold_anew = stage.gate.hold_anew

        async def slowly(exchange: Any) -> None:
            await hold_anew(exchange)
            client.hang_up()
            await asyncio.sleep(1.0)

        stage.gate.hold_anew = slowly  # type: ignore[method-assign]

    _, stage = told(PAPER, text="x", act=act, credit_nano=10**12)
    assert stage.providers.calls == []
    assert (stage.row.status, stage.row.cost_nano) == (499, 0)


def test_where_nothing_counts_nothing_is_held() -> None:
    client, stage = told(PAPER, text="x" * 50_000)
    assert client.status == 200
    assert stage.row.held_nano == 0


def test_estimated_usage_counts_the_text() -> None:
    script: Script = [(0.1, HEAD), (0.2, chunk("hello", finish="stop") + DONE), (0.3, END)]
    _, plain = told(PAPER, text="", scripts=[script])
    _, stage = told(PAPER, text="x" * 4000, scripts=[script])
    assert stage.row.usage_estimated
    assert stage.row.prompt_tokens - plain.row.prompt_tokens == 1000


def test_what_a_task_uses_at_most_grows_with_the_text() -> None:
    """Files that are embedded become text, too, where their endpoint reads none."""
    held: list[Ask] = []

    class Anew:
        async def hold_anew(self, exchange: Exchange) -> None:
            assert exchange.ask is not None
            held.append(exchange.ask)

    async def story(most: Usage | None) -> None:
        exchange = Exchange(id="gen-1", created_at=1.0, started_at=1.0, snapshot=snapshot())
        exchange.ask = Ask(models=("m",), body={}, text_bytes=5, most=most)
        errands = Errands(Anew(), lambda: 0.0)  # type: ignore[arg-type]
        await errands._hold(exchange, 0)
        await errands._hold(exchange, 1000)

    play(story(Usage(prompt_tokens=7, images=1)))
    play(story(None))
    assert [one.text_bytes for one in held] == [1005, 1005]
    assert [one.most for one in held] == [Usage(prompt_tokens=1007, images=1), None]
