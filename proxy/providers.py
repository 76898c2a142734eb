"""Who provides models: what is true of a provider, as data.

A provider is a row: `providers.toml` beside this file for the known ones, `[[providers]]` of the
configuration for more. What differs between providers of one dialect is a flag of `Quirks`; no code
asks for a provider by name. Keys are not here: they are secrets and travel apart.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Final, Literal

import msgspec

from proxy.quirks import Quirks
from proxy.wire.request import Task

__all__ = ["DIALECTS", "Auth", "Provider", "Quirks", "address", "known", "options_in"]

Auth = Literal["bearer", "x-api-key", "x-goog-api-key", "api-key", "aws", "google", "entra"]
"""How a call says who we are: by `Authorization: Bearer`, by the key in a header of that name, or
with what a cloud's own account gives: a SigV4 signature (`aws`), a service account's token
(`google`), an application's token (`entra`).
"""

DIALECTS: Final[Mapping[str, tuple[str, ...]]] = {
    "openai": (),
    "responses": (),
    "anthropic": (),
    "gemini": (),
    "vertex": ("project", "location"),
    "cohere": (),
    "bedrock": (),
    "azure": ("api_version",),
}
"""What a provider may speak, and the options that the paths of that dialect are made of."""


_NO_TOOLS: Final[frozenset[str]] = frozenset()


class Provider(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One provider. `None` for a policy means that the provider does not say."""

    slug: str
    name: str
    base_url: str
    dialect: str = "openai"
    models_url: str | None = None
    """Where its models are listed, if on another host than `base_url`."""

    key_env: tuple[str, ...] = ()
    """Environment variables in which its users keep their key, the usual one first."""

    auth: Auth = "bearer"
    auth_also: Literal["aws", "google", "entra"] | None = None
    """Another way that it takes. Which one a key is for, its own form tells."""

    options: dict[str, str] = {}
    """What its URLs need beside the model: `region`, `project`, `location`, `api_version`. Its
    `base_url` and `models_url` may name them in braces: `{region}`; `{location-}` is the value and
    a dash, and nothing where the value is `global`."""

    option_env: dict[str, tuple[str, ...]] = {}
    """Environment variables that give an option which is not said, the usual one first."""

    responses: str | None = None
    """Which of its models are asked over Responses rather than chat completions, as a regular
    expression that their names begin with. Only dialect `openai` has both."""

    tasks: tuple[Task, ...] | None = None
    """What it can be asked for beside conversations; None where that is all that its dialect has
    words for."""

    author: str | None = None
    """Who wrote models whose own name does not tell; the slug when left out."""

    names_are_slugs: bool = False
    """Its own model names are OpenRouter's slugs already, `:free` and all."""

    local: bool = False
    """Runs on the operator's machines: costs nothing, starts slowly, needs no key."""

    cancel_stops_billing: bool = False
    """Whether closing the connection ends what it charges for; no where nobody says so. After a
    hang-up such a provider is cancelled at once, another one heard out for its usage."""

    caches_unasked: bool = False
    """Whether what prompts begin with is cached without being marked, for models that have a price
    for reading it; no where nobody says so."""

    prices: str | None = None
    """Its id in the price table of the `genai-prices` package."""

    tool_prices: dict[str, Decimal] = {}
    """What the tools that it runs itself cost beside their tokens, by our names of them: a search
    of the web in USD, where neither its list nor that table says so; any other "0", or nobody
    knows, since only searches are counted."""

    tools: dict[str, tuple[str, ...]] = {}
    """Which of them its models run unasked, for models whose names begin with a regular expression;
    the first that fits holds."""

    shares_files: bool = False
    """Whether callers may name what is kept in the operator's account there: files, vector stores,
    containers."""

    trains_on_data: bool | None = None
    retains_prompts_days: int | None = None
    privacy_policy_url: str | None = None
    terms_of_service_url: str | None = None
    status_page_url: str | None = None
    headquarters: str | None = None
    datacenters: tuple[str, ...] = ()
    quirks: Quirks = Quirks()

    def __hash__(self) -> int:
        return hash(self.slug)  # `options` has no hash of its own

    def tools_of(self, model: str) -> frozenset[str]:
        """The tools that `model` runs unasked."""
        if not self.tools:
            return _NO_TOOLS
        found = (tools for name, tools in self.tools.items() if re.match(name, model))
        return frozenset(next(found, ()))


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    providers: tuple[Provider, ...]


_OPTION = re.compile(r"\{([a-z_]+)(-?)\}")


def options_in(url: str | None) -> tuple[str, ...]:
    """The options that an address of the table names."""
    return tuple(name for name, _ in _OPTION.findall(url or ""))


def address(url: str, options: Mapping[str, str]) -> str:
    """`url` with its options filled in; all of them must be there."""

    def value(found: re.Match[str]) -> str:
        name, dash = found.groups()
        said = options[name].rstrip("/")  # an option may be an address itself
        return said if not dash else "" if said == "global" else f"{said}-"

    return _OPTION.sub(value, url)


@cache
def known() -> Mapping[str, Provider]:
    """The known providers by slug, in the table's order."""
    text = files("proxy").joinpath("providers.toml").read_bytes()
    return {row.slug: row for row in msgspec.toml.decode(text, type=_Table).providers}
