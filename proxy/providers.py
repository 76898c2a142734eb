"""Who provides models: what is true of a provider, as data.

A provider is a row: `providers.toml` beside this file for the known ones, `[[providers]]` of the
configuration for more. What differs between providers of one dialect is a flag of `Quirks`; no code
asks for a provider by name. Keys are not here: they are secrets and travel apart.
"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Literal

import msgspec


class Quirks(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a provider of dialect `openai` departs from OpenAI's own API. The defaults are the
    behaviour that most compatible servers share.
    """

    usage_option: bool = True
    """Takes `stream_options {include_usage}`; without it usage comes unasked or never."""

    obfuscation_option: bool = False
    """Takes `stream_options {include_obfuscation: false}`, which saves padding on every event."""

    max_tokens: Literal["max_tokens", "max_completion_tokens", "as_sent"] = "as_sent"
    """The only name it knows for the limit on the completion; both are the caller's to use."""

    reasoning_control: Literal["none", "effort", "object"] = "none"
    """How a wish for reasoning is said: `reasoning_effort`, OpenRouter's `reasoning` object, or
    not at all."""

    reasoning_replay: Literal["none", "reasoning", "reasoning_content", "details"] = "none"
    """Under which key it takes its own reasoning back on the next turn; most refuse it."""

    reasoning_apart: bool = False
    """`completion_tokens` leave `reasoning_tokens` out, though the total has them."""

    audio_apart: bool = False
    """`prompt_tokens` leave the tokens of audio out, though the total has them."""


class Provider(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One provider. `None` for a policy means that the provider does not say."""

    slug: str
    name: str
    base_url: str
    dialect: str = "openai"
    key_env: tuple[str, ...] = ()
    """Environment variables in which its users keep their key, the usual one first."""

    options: dict[str, str] = {}
    """What its URLs need beside the model: `region`, `project`, `location`, `api_version`. Its
    `base_url` may name them in braces."""

    author: str | None = None
    """Who wrote models whose own name does not tell; the slug when left out."""

    names_are_slugs: bool = False
    """Its own model names are OpenRouter's slugs already, `:free` and all."""

    local: bool = False
    """Runs on the operator's machines: costs nothing, starts slowly, needs no key."""

    cancel_stops_billing: bool = False
    """Whether closing the connection ends what it charges for; no where nobody says so. After a
    hang-up such a provider is cancelled at once, another one heard out for its usage."""

    prices: str | None = None
    """Its id in the price table of the `genai-prices` package."""

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


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    providers: tuple[Provider, ...]


@cache
def known() -> Mapping[str, Provider]:
    """The known providers by slug, in the table's order."""
    text = files("proxy").joinpath("providers.toml").read_bytes()
    return {row.slug: row for row in msgspec.toml.decode(text, type=_Table).providers}
