"""Which attachments an endpoint is sent as they are."""

from typing import Any

import pytest
from msgspec.structs import replace

from proxy.dialects.parts import Media
from proxy.pipeline.takes import PDF, Takes, items, mime_of, takes
from proxy.providers import known
from proxy.routing.catalogue import Endpoint
from proxy.wire.request import Ask
from tests.stage import endpoint, model

URL = "https://h.test/a"
SOME: Any = frozenset(("image", "file"))
EVERY = Takes(None, SOME, reads_files=True)
FETCHES_NONE = Takes(None, frozenset(), reads_files=True)
READS_NONE = Takes(None, SOME, reads_files=False)
IMAGES_ONLY = Takes(frozenset(("image",)), frozenset(), reads_files=False)


@pytest.mark.parametrize(
    ("media", "as_is"),
    [  # at EVERY, FETCHES_NONE, READS_NONE, IMAGES_ONLY
        (Media("image", "image/png", data="aa"), "1111"),
        (Media("image", None, url=URL), "1010"),
        (Media("image", None, url="HTTPS://h.test/a"), "1010"),
        (Media("image", None, url="gs://b/a"), "0000"),
        (Media("video", None, url=URL), "0001"),
        (Media("video", None, url="s3://b/a"), "0001"),
        (Media("image", None, url="file:///etc/passwd"), "0000"),
        (Media("file", PDF, url="gs://b/a.pdf"), "0000"),
        (Media("file", "application/zip", url="s3://b/a.zip"), "0000"),
        (Media("audio", "audio/wav", data="aa"), "1111"),
        (Media("file", PDF, data="aa"), "1100"),
        (Media("file", None, data="JVBERi0x"), "1100"),
        (Media("file", "text/csv", data="aa"), "1100"),
        (Media("file", "application/zip", data="aa"), "1111"),
        (Media("file", PDF, id="file-1"), "1111"),
        (Media("file", PDF, url=URL), "1000"),
        (Media("file", None, url=URL), "1000"),
        (Media("file", "text/plain", url=URL), "0000"),
        (Media("file", "application/zip", url=URL), "0011"),
    ],
)
def test_what_is_sent_as_it_is(media: Media, as_is: str) -> None:
    ends = (EVERY, FETCHES_NONE, READS_NONE, IMAGES_ONLY)
    assert "".join(str(int(end.as_is(media))) for end in ends) == as_is


def test_a_dialect_may_take_some_urls_of_the_web() -> None:
    end = Takes(None, frozenset(), reads_files=True, takes_url=lambda url: "youtu.be" in url)
    assert end.as_is(Media("video", None, url="https://youtu.be/x"))
    assert not end.as_is(Media("video", None, url="https://h.test/x"))


@pytest.mark.parametrize(
    ("kind", "url", "as_is"),
    [
        ("image", "http://h.test/a", False),
        ("image", "HTTP://h.test/a", False),
        ("image", "https://h.test/a", True),
        ("file", "http://h.test/a", False),
        ("file", "https://h.test/a", True),
        ("image", "gs://b/a", False),
    ],
)
def test_a_dialect_may_take_no_url_without_tls(kind: Any, url: str, as_is: bool) -> None:
    assert EVERY._replace(fetches_http=False).as_is(Media(kind, None, url=url)) is as_is


def test_storage_that_callers_may_name() -> None:
    end = EVERY._replace(storage=("gs://shared/",))
    assert end.as_is(Media("video", None, url="gs://shared/a.mp4"))
    assert not end.as_is(Media("video", None, url="gs://shared-not/a.mp4"))
    assert takes(
        model("test/one"), _with(storage=("s3://b/",)), Ask(models=("m",), body={"messages": []})
    ).storage == ("s3://b/",)


def test_a_local_one_fetches_only_where_that_is_said() -> None:
    """It would fetch from inside our net, and nobody guards it there."""
    ask = Ask(models=("m",), body={"messages": []})
    plain = endpoint("p0")
    local = replace(plain, provider=replace(plain.provider, local=True))
    assert takes(model("test/one"), local, ask).fetches == frozenset()
    asked = _with(fetches=("image",))
    asked = replace(asked, provider=replace(asked.provider, local=True))
    assert takes(model("test/one"), asked, ask).fetches == {"image"}
    for row in known().values():
        assert not (row.local and row.quirks.fetches)


def _with(**quirks: Any) -> Endpoint:
    plain = endpoint("p0")
    changed = replace(plain.provider.quirks, **quirks)
    return replace(plain, provider=replace(plain.provider, quirks=changed))


@pytest.mark.parametrize(
    ("quirks", "inputs", "reads"),
    [
        ({}, ("text", "image"), True),
        ({}, ("text", "file"), True),
        ({}, ("text",), False),
        ({"reads_pdf": False}, ("text", "image"), False),
        ({"reads_pdf": True}, ("text",), False),
        ({"attachments": ("image",)}, ("text", "image"), False),
        ({"attachments": ("image", "file")}, ("text", "image"), True),
    ],
)
def test_who_reads_files(quirks: dict[str, Any], inputs: tuple[str, ...], reads: bool) -> None:
    one = replace(model("test/one"), input_modalities=inputs)
    found = takes(one, _with(**quirks), Ask(models=("m",), body={"messages": []}))
    assert found.reads_files is reads


def test_who_fetches() -> None:
    ask = Ask(models=("m",), body={"messages": []})
    one = model("test/one")
    assert "image" in takes(one, _with(), ask).fetches
    assert takes(one, _with(fetches=()), ask).fetches == frozenset()
    assert takes(one, _with(fetches=("video",)), ask).fetches == {"video"}


def test_attachments_have_names() -> None:
    content = [
        {"type": "text", "text": "see"},
        {"type": "image_url", "image_url": {"url": URL}},
        {"type": "file", "file": {"file_data": URL}},
        {"type": "input_audio", "input_audio": {"data": "aa", "format": "wav"}},
        {"type": "input_video", "video_url": {"url": URL}},
        {"type": "image_url", "image_url": {}},
    ]
    messages = [{"role": "system", "content": "x"}, {"role": "user", "content": content}]
    found = [*items(Ask(models=("m",), body={"messages": [*messages, {"role": "assistant"}]}))]
    assert [item.field for item in found] == [
        "messages[1].content[1].image_url.url",
        "messages[1].content[2].file.file_data",
        "messages[1].content[3].input_audio.data",
        "messages[1].content[4].input_video",
    ]


def test_the_type_of_what_came_as_data() -> None:
    assert mime_of(Media("file", "x/y", data="JVBERi0xLjc=")) == PDF
    assert mime_of(Media("file", "x/y", data="aaaa")) == "x/y"
    assert mime_of(Media("file", None, data="aaaa")) == ""
    assert mime_of(Media("file", None, id="x")) == ""
