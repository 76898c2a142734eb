"""What a key is: a word that goes into a header, or what one of the clouds knows an account by.

A key is text, wherever it comes from; its form tells what it is. Nothing here is ever shown: an
identity has no repr of its own, and what is wrong with a key is said without the key.
"""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from proxy.providers import Auth

VARIABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "aws": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    "entra": ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"),
    "google": ("GOOGLE_APPLICATION_CREDENTIALS",),
}
"""Where the clouds' own tools look for an account; joined by colons they are a key. Google's names
a file."""

VARIABLES_TOO: Final[Mapping[str, tuple[str, ...]]] = {"aws": ("AWS_SESSION_TOKEN",)}
"""What may follow them."""

_KEY = re.compile(r"[!-~]+")  # printable ASCII without spaces: what a header carries safely
_FORMS: Final = {
    "aws": '"ACCESS_KEY_ID:SECRET_ACCESS_KEY", with ":SESSION_TOKEN" if there is one, '
    'or "aws:PROFILE"',
    "entra": '"TENANT_ID:CLIENT_ID:CLIENT_SECRET"',
    "google": "the JSON file of a service account",
}


class Identity(msgspec.Struct, frozen=True):
    """Who we are for a provider; no log and no debugger is told."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return []

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every part that must not be shown."""
        found = (getattr(self, name) for name in self.__struct_fields__)
        return tuple(part for part in found if isinstance(part, str) and part)


class Word(Identity, frozen=True):
    """A key that is said as it is."""

    value: str


class AwsPair(Identity, frozen=True):
    """An access key of AWS; one that is lent for a while comes with a session token."""

    access: str
    secret: str
    session: str | None = None


class AwsProfile(Identity, frozen=True):
    """A profile of AWS's own configuration, or, as `default`, whatever its tools would find."""

    name: str

    @property
    def secrets(self) -> tuple[str, ...]:
        return ()


class ServiceAccount(Identity, frozen=True):
    """A service account of Google; `token_uri` is who gives it tokens."""

    client_email: str
    private_key: str
    token_uri: str = "https://oauth2.googleapis.com/token"
    private_key_id: str | None = None
    project_id: str | None = None

    @property
    def secrets(self) -> tuple[str, ...]:
        parts = (self.private_key, self.private_key_id, self.client_email)
        return tuple(part for part in parts if part)


class Application(Identity, frozen=True):
    """An application of Microsoft Entra with a client secret."""

    tenant: str
    client: str
    secret: str


def identify(key: str, auth: Auth, also: Auth | None = None) -> Identity:
    """What `key` is for a provider that takes `auth`, and `also` another way.

    Raises ValueError, which says what was expected and nothing of the key.
    """
    if not key:
        raise ValueError("is empty")
    kind = also if also is not None and _looks_like(key, also) else auth
    if kind == "google":
        return _service_account(key)
    if not _KEY.fullmatch(key):
        raise ValueError("holds a space or a character that no key has")
    if kind == "aws":
        return _aws(key)
    if kind == "entra":
        tenant, client, secret = _split(key, "entra", 3, 3)
        return Application(tenant, client, secret)
    return Word(key)


def _looks_like(key: str, auth: Auth) -> bool:
    """Keys that are plain words, API keys of Bedrock and Azure, hold neither colons nor braces."""
    return key.startswith("{") if auth == "google" else ":" in key


def _aws(key: str) -> Identity:
    kind, _, name = key.partition(":")
    if kind == "aws" and name:
        return AwsProfile(name)
    return AwsPair(*_split(key, "aws", 2, 3))


def _split(key: str, kind: str, least: int, most: int) -> list[str]:
    parts = key.split(":")
    if not least <= len(parts) <= most or not all(parts):
        raise ValueError(f"is not {_FORMS[kind]}")
    return parts


class _Typed(msgspec.Struct):
    type: str


def _service_account(key: str) -> ServiceAccount:
    wrong = ValueError(f"is not {_FORMS['google']}")
    try:
        kind = msgspec.json.decode(key, type=_Typed).type
        account = (
            msgspec.json.decode(key, type=ServiceAccount) if kind == "service_account" else None
        )
    except (msgspec.DecodeError, RecursionError):
        raise wrong from None
    if account is None or not account.client_email or "-----BEGIN" not in account.private_key:
        raise wrong
    if urlsplit(account.token_uri).scheme not in ("https", "http"):
        raise wrong
    return account
