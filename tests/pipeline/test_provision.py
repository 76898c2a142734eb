"""Attachments made ready for endpoints that can not be sent them as they are."""

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from proxy.errors import GatewayError
from proxy.pipeline import provision as module
from proxy.pipeline.provision import Provisioner, Provisions, needed
from proxy.routing.catalogue import Endpoint, Model
from proxy.routing.plan import Plan
from proxy.upstream.egress import Egress
from proxy.upstream.found import Budget, Fetched
from proxy.upstream.pdf import READ_S, Reader
from proxy.wire.request import Ask
from tests.stage import endpoint, model

PNG, PDF = b"\x89PNG\r\n\x1a\n", b"%PDF-1.7"
HOST = "https://h.test"


def coded(data: bytes, mime: str) -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


class Shelf(Egress):
    """Fetches from a table; what it does not have fails."""

    def __init__(self, **found: Any) -> None:
        super().__init__()
        self._found = found
        self.asked: list[str] = []

    async def fetch(
        self, url: str, *, bytes_max: int, timeout_s: float, budget: Budget | None = None
    ) -> Fetched:
        self.asked.append(url)
        await asyncio.sleep(0)
        found = self._found.get(url.rpartition("/")[2].partition(".")[0])
        if found is None:
            raise GatewayError("provider_lacks_media", "The URL can not be fetched: x.")
        assert budget is not None
        budget.take(len(found[1]))
        mime, data = found
        return Fetched(mime, data, url)


class Words(Reader):
    """Reads from a table, by the bytes of a file."""

    def __init__(self, **found: str) -> None:
        super().__init__()
        self._found = {f"%PDF-{name}".encode(): text for name, text in found.items()}
        self.read: list[tuple[bytes, int]] = []

    async def text(self, data: bytes, *, bytes_max: int) -> str:
        self.read.append((data, bytes_max))
        if data in self._found:
            return self._found[data]
        raise GatewayError("provider_lacks_media", "The PDF can not be read as text: x.")


def image(url: str, **more: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url} | more}


def paper(data: str, **more: Any) -> dict[str, Any]:
    return {"type": "file", "file": {"file_data": data} | more}


def asks(*parts: dict[str, Any]) -> Ask:
    messages = [{"role": "system", "content": "x"}, {"role": "user", "content": list(parts)}]
    return Ask(models=("m",), body={"messages": messages, "top_p": 1}, media_prompt=len(parts))


def place(slug: str, **quirks: Any) -> Endpoint:
    plain = endpoint(slug)
    changed = replace(plain.provider.quirks, **quirks)
    return replace(plain, provider=replace(plain.provider, quirks=changed))


EVERY = place("p0", fetches=("image", "file", "video"), reads_pdf=True)
FETCHES_NONE = place("p1", fetches=(), reads_pdf=True)
READS_NONE = place("p2", fetches=("image",), reads_pdf=False)
NOTHING = place("p3", fetches=(), reads_pdf=False)
SEES = replace(model("test/one"), input_modalities=("text", "image"))


def plan(*endpoints: Endpoint) -> Plan:
    return Plan(tuple((SEES, one) for one in endpoints), ())


async def make(
    ask: Ask, *endpoints: Endpoint, shelf: Egress | None = None, words: Reader | None = None
) -> Provisions:
    found = needed(ask, plan(*endpoints))
    assert found is not None
    await Provisioner(shelf or Shelf(), words or Words()).provide(found)
    return found


def parts(provisions: Provisions, ask: Ask, end: Endpoint, one: Model = SEES) -> Any:
    return provisions.ask_of(ask, one, end).body["messages"][1]["content"]


def fault(provisions: Provisions, ask: Ask, end: Endpoint) -> str:
    with pytest.raises(GatewayError) as caught:
        provisions.ask_of(ask, SEES, end)
    assert caught.value.kind == "provider_lacks_media"
    return caught.value.message


def test_the_documentation_has_the_figures() -> None:
    configuration = Path("docs/configuration.md").read_text()
    assert f"at most {module.FETCH_BYTES_MAX} together, and {module.FILES_MAX} are" in configuration
    assert f"{module.TEXT_BYTES_MAX // 1024} KiB of text" in configuration
    assert f"longer than {int(READ_S)} seconds to read" in configuration
    assert f"there are at most {module.TEXT_BYTES_MAX}:" in Path("docs/money.md").read_text()


# When nothing is to be done.


@pytest.mark.parametrize(
    ("ask", "ends", "nothing"),
    [
        (replace(asks(image(f"{HOST}/a")), media_prompt=0), [NOTHING], True),
        (asks(image(f"{HOST}/a")), [EVERY, READS_NONE], True),
        (asks(image(f"{HOST}/a")), [EVERY, NOTHING], False),
        (asks(image(coded(PNG, "image/png"))), [NOTHING], True),
        (asks(paper(coded(PDF, "application/pdf"))), [EVERY, FETCHES_NONE], True),
        (asks(paper(coded(PDF, "application/pdf"))), [EVERY, READS_NONE], False),
    ],
)
def test_most_requests_need_nothing(ask: Ask, ends: list[Endpoint], nothing: bool) -> None:
    assert (needed(ask, plan(*ends)) is None) is nothing


# URLs.


async def test_a_url_becomes_data_for_who_needs_that() -> None:
    shelf = Shelf(a=("image/png", PNG))
    parted = image(f"{HOST}/a", detail="low") | {"cache_control": {"type": "ephemeral"}}
    ask = asks({"type": "text", "text": "see"}, parted, image(f"{HOST}/a"))
    made = await make(ask, EVERY, NOTHING, shelf=shelf)
    assert shelf.asked == [f"{HOST}/a"]
    assert made.ask_of(ask, SEES, EVERY) is ask
    inlined = coded(PNG, "image/png")
    assert parts(made, ask, NOTHING) == [
        {"type": "text", "text": "see"},
        {
            "type": "image_url",
            "image_url": {"url": inlined, "detail": "low"},
            "cache_control": {"type": "ephemeral"},
        },
        image(inlined),
    ]
    assert parts(made, ask, EVERY)[1] is parted
    assert made.ask_of(ask, SEES, NOTHING).body["top_p"] == 1
    assert made.read_bytes == 0


async def test_every_form_of_a_url() -> None:
    shelf = Shelf(a=("image/png", PNG), v=("video/mp4", b"v"), f=(None, b"f"), g=("x/y", b"g"))
    ask = asks(
        {"type": "image_url", "image_url": f"{HOST}/a"},
        {"type": "video_url", "video_url": {"url": f"{HOST}/v"}},
        paper(f"{HOST}/dir/f.bin?x=1"),
        paper(f"{HOST}/g", filename="G"),
        paper(f"{HOST}"),
    )
    shelf._found["h"] = ("x/y", b"h")
    made = await make(ask, FETCHES_NONE, shelf=shelf)
    assert parts(made, ask, FETCHES_NONE) == [
        image(coded(PNG, "image/png")),
        {"type": "video_url", "video_url": {"url": coded(b"v", "video/mp4")}},
        paper(coded(b"f", "application/octet-stream"), filename="f.bin"),
        paper(coded(b"g", "x/y"), filename="G"),
        paper(coded(b"h", "x/y"), filename="file"),
    ]


async def test_what_failed_fails_only_who_needs_it() -> None:
    ask = asks(image(f"{HOST}/lost"))
    made = await make(ask, EVERY, NOTHING)
    assert made.ask_of(ask, SEES, EVERY) is ask
    message = fault(made, ask, NOTHING)
    assert message == "messages[1].content[0].image_url.url: The URL can not be fetched: x."


async def test_what_is_no_image() -> None:
    ask = asks(image(f"{HOST}/a"))
    made = await make(ask, NOTHING, shelf=Shelf(a=("text/html", b"<html>")))
    assert fault(made, ask, NOTHING).endswith("url: The URL does not lead to an image.")


async def test_only_so_many_and_so_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FILES_MAX", 2)
    monkeypatch.setattr(module, "FETCH_BYTES_MAX", 12)
    shelf = Shelf(a=("image/png", PNG), b=("image/png", PNG))
    made = await make(asks(*(image(f"{HOST}/{name}") for name in "abc")), NOTHING, shelf=shelf)
    assert shelf.asked == [f"{HOST}/a", f"{HOST}/b"]
    errors = {url: str(found) for url, found in made._fetched.items() if found is not None}
    assert "all attachments together are too large" in errors[f"{HOST}/b"]
    assert errors[f"{HOST}/c"] == "No more than 2 URLs are fetched."


async def test_what_is_repeated_counts_as_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else some bytes of a URL, a thousand times, are a thousand images to be sent."""
    monkeypatch.setattr(module, "FETCH_BYTES_MAX", 3 * len(PNG))
    shelf = Shelf(a=("image/png", PNG))
    thrice = asks(*[image(f"{HOST}/a")] * 3)
    made = await make(thrice, NOTHING, shelf=shelf)
    assert parts(made, thrice, NOTHING) == [image(coded(PNG, "image/png"))] * 3
    often = asks(*[image(f"{HOST}/a")] * 4)
    made = await make(often, NOTHING, shelf=shelf)
    assert "all attachments together are too large" in fault(made, often, NOTHING)


# Files as text.


async def test_a_name_is_text_too_and_counts() -> None:
    """A hold knows the body's text only; the names in it are no text until a file becomes some."""
    ask = asks(paper(coded(b"%PDF-a", "application/pdf"), filename="<" * 100_000))
    made = await make(ask, NOTHING, words=Words(a="x"))
    (part,) = parts(made, ask, NOTHING)
    name = "&lt;" * module.NAME_CHARS_MAX
    assert part["text"] == f'<file name="{name}">\nx\n</file>'
    assert made.read_bytes == len(part["text"])


async def test_a_pdf_becomes_text_for_who_reads_none() -> None:
    words = Words(a="Grüße")
    mark = {"cache_control": {"type": "ephemeral"}}
    ask = asks(
        paper(coded(b"%PDF-a", "application/pdf"), filename='a "<b>.pdf') | mark,
        paper(coded(b"%PDF-a", "application/pdf")),
        image(coded(PNG, "image/png")),
    )
    made = await make(ask, EVERY, NOTHING, words=words)
    assert words.read == [(b"%PDF-a", module.TEXT_BYTES_MAX // 2)]  # it stands there twice
    assert made.ask_of(ask, SEES, EVERY) is ask
    first, second, third = parts(made, ask, NOTHING)
    name = "a &quot;&lt;b&gt;.pdf"
    assert first == {"type": "text", "text": f'<file name="{name}">\nGrüße\n</file>'} | mark
    assert second == {"type": "text", "text": '<file name="file">\nGrüße\n</file>'}
    assert third is ask.body["messages"][1]["content"][2]
    assert made.read_bytes == sum(len(one["text"].encode()) for one in (first, second))


async def test_a_pdf_is_text_for_a_model_that_does_not_see() -> None:
    blind = replace(SEES, input_modalities=("text",))
    ask = asks(paper(coded(b"%PDF-a", "application/pdf")))
    made = needed(ask, Plan(((SEES, EVERY), (blind, EVERY)), ()))
    assert made is not None
    await made.read(Words(a="x"))
    assert parts(made, ask, EVERY, blind)[0]["type"] == "text"
    assert parts(made, ask, EVERY)[0]["type"] == "file"


async def test_a_pdf_behind_a_url() -> None:
    shelf = Shelf(a=("application/pdf", b"%PDF-a"), n=("text/csv", b"a,b"), z=("x/zip", b"z"))
    ask = asks(paper(f"{HOST}/a"), paper(f"{HOST}/n.csv"), paper(f"{HOST}/z"))
    made = await make(ask, EVERY, READS_NONE, shelf=shelf, words=Words(a="x"))
    assert parts(made, ask, READS_NONE) == [
        {"type": "text", "text": '<file name="a">\nx\n</file>'},
        {"type": "text", "text": '<file name="n.csv">\na,b\n</file>'},
        paper(coded(b"z", "x/zip"), filename="z"),
    ]
    assert parts(made, ask, EVERY) == [
        paper(f"{HOST}/a"),
        paper(coded(b"a,b", "text/csv"), filename="n.csv"),
        paper(f"{HOST}/z"),
    ]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (coded(b"%PDF-other", "application/pdf"), "The PDF can not be read as text: x."),
        ("data:application/pdf;base64,x", "The PDF can not be read as text: x."),
    ],
)
async def test_a_pdf_without_text(data: str, reason: str) -> None:
    ask = asks(paper(data))
    made = await make(ask, NOTHING)
    assert fault(made, ask, NOTHING) == f"messages[1].content[0].file.file_data: {reason}"
    assert made.read_bytes == 0


async def test_only_so_many_files_and_so_much_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FILES_MAX", 2)
    monkeypatch.setattr(module, "TEXT_BYTES_MAX", 8)
    ask = asks(*(paper(coded(f"{n}ab\xfcde".encode(), "text/plain")) for n in range(3)))
    made = await make(ask, NOTHING)
    texts = [one for one in made._texts.values() if isinstance(one, str)]
    assert texts == [f"{n}ab\n\n[The rest is cut.]" for n in (0, 1)]
    assert fault(made, ask, NOTHING).endswith("No more than 2 files are read as text.")


async def test_nobody_goes_on_when_it_is_cancelled() -> None:
    gone: list[str] = []

    class Slow(Egress):
        async def fetch(self, url: str, **_: Any) -> Fetched:
            try:
                await asyncio.Event().wait()
            finally:
                gone.append(url)
            raise AssertionError

    ask = asks(image(f"{HOST}/a"), image(f"{HOST}/b"))
    task = asyncio.create_task(make(ask, NOTHING, shelf=Slow()))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(gone) == [f"{HOST}/a", f"{HOST}/b"]
