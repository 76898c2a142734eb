"""Content blocks of Anthropic's Messages, out of OpenRouter's parts and `reasoning_details`."""

import base64
import binascii
import re
from collections.abc import Iterable
from typing import Any, Final

from proxy.dialects.asking import inexpressible
from proxy.dialects.parts import Media, media_of, parts_of
from proxy.dialects.values import parsed, string
from proxy.providers import Provider

Block = dict[str, Any]

FORMAT: Final = "anthropic-claude-v1"
"""OpenRouter's name for reasoning of Claude, wherever it runs."""

THOUGHTS: Final = ("thinking", "redacted_thinking")
"""Blocks of what a model thought."""

USES: Final = ("server_tool_use", "mcp_tool_use")
"""Blocks of tools that run at the provider."""

_IMAGES: Final = frozenset(("image/jpeg", "image/png", "image/gif", "image/webp"))
_PDF: Final = "application/pdf"
_TEXTS: Final = re.compile(r"text/.*|application/(json|xml|yaml|x-yaml|javascript|toml)")
_OWN: Final = frozenset(("document", "search_result", "container_upload"))
"""Blocks of Anthropic's own that a caller may write as they are: citations need them."""


def blocks_of(content: object, provider: Provider) -> list[Block]:
    """The blocks of a message's content; text that says nothing, which is a 400, is left out.

    Raises GatewayError `provider_unfit` for an attachment that Anthropic does not take.
    """
    return [block for part in parts_of(content) if (block := _block(part, provider))]


def text_blocks(content: object) -> list[Block]:
    """Those of the text alone."""
    return [block for part in parts_of(content) if (block := text_block(part))]


def text_block(part: Block) -> Block | None:
    """The block of a text or a refusal; None for what is neither, or says nothing."""
    text = part.get("refusal") if part.get("type") == "refusal" else part.get("text")
    if not isinstance(text, str) or not text.strip():
        return None
    return marked({"type": "text", "text": text}, part)


def marked(block: Block, source: Block) -> Block:
    """`block` with the caching mark of `source`: Anthropic's own, or OpenAI's in its words."""
    mark = source.get("cache_control")
    if isinstance(mark, dict):
        block["cache_control"] = mark
    elif isinstance(source.get("prompt_cache_breakpoint"), dict):
        block["cache_control"] = {"type": "ephemeral"}
    return block


def result_block(id_: str, message: Block, provider: Provider) -> Block:
    """What a tool gave. A mark within it is moved out: only whole blocks are cached."""
    block: Block = {"type": "tool_result", "tool_use_id": id_}
    content = message.get("content")
    if isinstance(content, str):
        if content.strip():
            block["content"] = content
    elif parts := blocks_of(content, provider):
        for part in parts:
            if mark := part.pop("cache_control", None):
                block["cache_control"] = mark
        block["content"] = parts
    return marked(block, message)


def replayed(details: object) -> list[Block]:
    """The thinking and the server tools of an earlier answer, as they were; what another provider
    thought, or nobody signed, is left out, as it would be a 400.
    """
    blocks: list[Block] = []
    for detail in _pieces(details):
        match detail.get("type"):
            case "reasoning.text":
                if signature := string(detail.get("signature")):
                    thought = {"type": "thinking", "thinking": detail["text"]}
                    blocks.append({**thought, "signature": signature})
            case "reasoning.encrypted":
                if data := string(detail.get("data")):
                    blocks.append({"type": "redacted_thinking", "data": data})
            case "reasoning.server_tool_call":
                blocks += _server_tool(detail)
    return blocks


def _pieces(details: object) -> Iterable[Block]:
    """The details of Claude; pieces of one text, which clients may keep apart, are one."""
    open_: Block = {}
    texts: list[str] = []
    for detail in details if isinstance(details, list) else ():
        if not isinstance(detail, dict) or not _claudes(detail):
            continue
        is_text = detail.get("type") == "reasoning.text"
        if open_ and not (is_text and detail.get("index") == open_.get("index")):
            open_, texts = {}, []  # never signed
        if not is_text:
            yield detail
            continue
        open_ = detail
        texts.append(string(detail.get("text")) or "")
        if detail.get("signature"):
            yield {**detail, "text": "".join(texts)}
            open_, texts = {}, []


def _claudes(detail: Block) -> bool:
    said = detail.get("format")
    # Some clients keep no format; of all models only Claude signs text.
    return said == FORMAT or (said is None and detail.get("type") == "reasoning.text")


def _server_tool(detail: Block) -> list[Block]:
    """A server tool's use and its result, which `events.py` wrote down."""
    id_, name = detail.get("tool_call_id"), detail.get("tool_name")
    given, result = parsed(detail.get("arguments")), parsed(detail.get("result"))
    if not isinstance(id_, str) or not isinstance(name, str) or given is None:
        return []
    own: Block = {key: detail[key] for key in ("caller", "server_name") if key in detail}
    type_ = "mcp_tool_use" if "server_name" in own else "server_tool_use"
    use = {"type": type_, "id": id_, "name": name, "input": given, **own}
    return [use, result] if result else [use]


def _block(part: Block, provider: Provider) -> Block | None:
    type_ = part.get("type")
    if type_ in ("text", "refusal"):
        return text_block(part)
    if type_ in _OWN:
        return dict(part)
    media = media_of(part)
    if media is None:
        raise inexpressible(provider, "content of that type, or without data")
    return marked(_attachment(media, provider), part)


def _attachment(media: Media, provider: Provider) -> Block:
    mime = "image/jpeg" if media.mime == "image/jpg" else media.mime
    if media.kind == "image" or (media.kind == "file" and mime in _IMAGES):
        return {"type": "image", "source": _image(media, mime, provider)}
    if media.kind != "file":
        raise inexpressible(provider, f"{media.kind}")
    document: Block = {"type": "document", "source": _document(media, mime, provider)}
    if media.name:
        document["title"] = media.name
    return document


def _image(media: Media, mime: str | None, provider: Provider) -> Block:
    if media.id is not None:
        return {"type": "file", "file_id": media.id}
    if media.url is not None:
        return {"type": "url", "url": media.url}
    if mime not in _IMAGES:
        raise inexpressible(provider, "an image that is not JPEG, PNG, GIF or WebP")
    return {"type": "base64", "media_type": mime, "data": media.data}


def _document(media: Media, mime: str | None, provider: Provider) -> Block:
    if media.id is not None:
        return {"type": "file", "file_id": media.id}
    if mime == _PDF and media.data is not None:
        return {"type": "base64", "media_type": _PDF, "data": media.data}
    if media.url is not None and mime in (_PDF, None):
        return {"type": "url", "url": media.url}
    if media.data is not None and mime is not None and _TEXTS.fullmatch(mime):
        return {"type": "text", "media_type": "text/plain", "data": _decoded(media.data, provider)}
    raise inexpressible(provider, "a file that is neither PDF nor text")


def _decoded(data: str, provider: Provider) -> str:
    try:
        return base64.b64decode(data).decode("utf-8", "replace")
    except binascii.Error:
        raise inexpressible(provider, "a file that is not base64") from None
