"""What a provider's URLs are made of: options that are said, in the environment, or known.

A missing option is an error that names the variables in which it was looked for.
"""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from msgspec.structs import replace

from proxy.identity import AwsPair, AwsProfile, Identity, ServiceAccount
from proxy.providers import DIALECTS, Provider, address, options_in
from proxy.settings import ConfigError

_URL = re.compile(r"[!-~]+")  # printable ASCII without spaces
_IN_URL = re.compile(r"[A-Za-z0-9-]+")  # what may stand in the middle of a host's name


def with_options(
    provider: Provider, environ: Mapping[str, str], *, said: Mapping[str, str]
) -> Provider:
    """With the options that the environment says; what the row itself says comes first, what is
    known of its slug last.
    """
    options = {name: value for name, value in provider.options.items() if value.strip()}
    for name, variables in provider.option_env.items():
        values = (environ.get(variable, "").strip() for variable in variables)
        if name not in said and (value := next(filter(None, values), None)):
            options[name] = value
    return replace(provider, options=options)


def lacking(provider: Provider) -> list[str]:
    """The options that are not said and without which its URLs are not whole."""
    named = (*options_in(provider.base_url), *options_in(provider.models_url))
    needed = dict.fromkeys((*named, *DIALECTS[provider.dialect]))
    return [name for name in needed if name not in provider.options]


def addressed(provider: Provider, *, path: str) -> Provider:
    """With its addresses filled in, as far as keys do not have a part in them."""
    filled = {}
    for field in ("base_url", "models_url"):
        url = getattr(provider, field)
        if url is not None:
            filled[field] = _filled(provider, url, field=field, path=path)
    return replace(provider, **filled)


def _filled(provider: Provider, url: str, *, field: str, path: str) -> str:
    names = options_in(url)
    for name in names:
        value, at = provider.options.get(name), f"{path}.options.{name}"
        if value is None:
            raise ConfigError(at, _no_option(provider, name))
        if url != f"{{{name}}}" and not _IN_URL.fullmatch(value):
            raise ConfigError(at, "expected letters, digits and dashes")
    filled = address(url, provider.options).rstrip("/")
    _check(filled, path=f"{path}.options.{names[0]}" if names else f"{path}.{field}")
    return filled


def with_accounts(provider: Provider, identities: tuple[Identity, ...], *, path: str) -> Provider:
    """With what only its keys tell. A signature of AWS names the region."""
    options = dict(provider.options)
    for one in identities:
        if isinstance(one, ServiceAccount) and one.project_id:
            options.setdefault("project", one.project_id)
    needed = list(DIALECTS[provider.dialect])
    if any(isinstance(one, AwsPair | AwsProfile) for one in identities):
        needed.append("region")
    for name in needed:
        if name not in options:
            raise ConfigError(f"{path}.options.{name}", _no_option(provider, name))
    return replace(provider, options=options)


def _check(url: str, *, path: str) -> None:
    """Refuse what is no plain http(s) URL; the URL itself stays unsaid, it may hold a password."""
    try:
        parts = urlsplit(url)
        absolute = parts.scheme in ("http", "https") and bool(parts.hostname)
        port_fits = parts.port is None or parts.port > 0
    except ValueError:
        absolute = port_fits = False
    if not absolute or not port_fits or not _URL.fullmatch(url):
        raise ConfigError(path, 'expected an absolute URL, such as "https://api.example.com/v1"')
    if "@" in parts.netloc:
        raise ConfigError(path, "a URL here holds no user or password; keys belong in api_key")
    if "?" in url or "#" in url:
        raise ConfigError(path, "a URL here has no query and no fragment")


def _no_option(provider: Provider, name: str) -> str:
    variables = " or ".join(provider.option_env.get(name, ()))
    return f"missing, and environment variable {variables} is not set" if variables else "missing"
