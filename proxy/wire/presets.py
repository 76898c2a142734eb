"""Presets: settings of requests under a name, in versions that are never changed."""

from hashlib import sha256
from uuid import UUID

import msgspec


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """What a version says: a system prompt, and fields in the words of a chat, as JSON."""

    config: bytes
    system_prompt: str | None = None

    @property
    def size_bytes(self) -> int:
        """What it adds to a request, at most."""
        return len(self.config) + len((self.system_prompt or "").encode(errors="replace"))


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One version of an account's preset. `creator` is the hash of the key that made it, else the
    account; `created_at` is in seconds since 1970.
    """

    account: str
    slug: str
    version: int
    creator: str
    created_at: float
    draft: Draft


class Preset(msgspec.Struct, frozen=True, kw_only=True):
    """A preset as its newest version; `created_at` is when the first one was made."""

    created_at: float
    newest: Version


def id_of(account: str, slug: str, version: int | None = None) -> str:
    """The id of a preset, or of one of its versions: always the same one, as neither of them can be
    renamed or taken away.
    """
    named = "\n".join((account, slug, *([] if version is None else [str(version)])))
    return str(UUID(bytes=sha256(named.encode(errors="replace")).digest()[:16], version=4))
