"""Presets over HTTP: OpenRouter's `/presets`, made of requests and read back.

The shapes are those its official Python SDK insists on. A preset has no name but its slug, and its
newest version is always the one that counts.
"""

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, Protocol

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from proxy.accounts.keys import Key
from proxy.api.account import Authenticate
from proxy.api.bodies import body_of
from proxy.api.catalogue import answer
from proxy.api.paging import whole
from proxy.dialects import INBOUND
from proxy.dialects.bodies import object_steps
from proxy.dialects.forms import Presets
from proxy.errors import GatewayError
from proxy.pipeline.large import in_turns
from proxy.pipeline.presets import ANONYMOUS
from proxy.stores.presets import SqlPresets
from proxy.stores.schema import StoreError, StoreUnavailable
from proxy.wire.presets import Draft, Preset, Version, id_of

LIMIT_DEFAULT: Final = 50
LIMIT_MAX: Final = 100
OFFSET_MAX: Final = 10**6
BODY_BYTES_MAX: Final = 4 * 1024 * 1024
"""Of a request that a preset is made of, which is looked at in one go: 26 MB took 0.14 s."""

FORMATS: Final = {"chat/completions": "chat", "messages": "messages", "responses": "responses"}
"""The formats of requests that presets are made of, by what follows their slug."""

_SLUG: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,99}")
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,8}")


class Shelf(Protocol):
    """Where presets are kept. `preset_added` returns when this gateway goes by it."""

    async def presets(self, ask: Callable[[SqlPresets], Any]) -> Any: ...

    async def preset_added(
        self, account: str, slug: str, draft: Draft, *, creator: str, now: float
    ) -> Preset: ...


def routes(
    *,
    authenticate: Authenticate,
    shelf: Shelf,
    body_bytes_max: Callable[[], int],
    now: Callable[[], float],
) -> list[BaseRoute]:
    """The routes below `/api/v1`. `body_bytes_max` is that of requests."""
    desk = _Desk(authenticate, shelf, body_bytes_max, now)
    return [
        Route("/presets", desk.presets),
        Route("/presets/{slug}", desk.preset),
        Route("/presets/{slug}/versions", desk.versions),
        Route("/presets/{slug}/versions/{version}", desk.version),
        *(
            Route(f"/presets/{{slug}}/{path}", desk.adds(INBOUND[name].presets), methods=["POST"])
            for path, name in FORMATS.items()
        ),
    ]


class _Desk(NamedTuple):
    """Answers requests; who asks sees the presets of its account."""

    authenticate: Authenticate
    shelf: Shelf
    body_bytes_max: Callable[[], int]
    now: Callable[[], float]

    async def presets(self, request: Request) -> Response:
        account, page = self._account(request), _page(request)
        rows, count = await self.shelf.presets(lambda kept: kept.page(account, **page))
        return answer({"data": [preset_row(one) for one in rows], "total_count": count})

    async def preset(self, request: Request) -> Response:
        account, slug = self._account(request), _slug(request)
        found = await self.shelf.presets(lambda kept: kept.find(account, slug))
        return answer({"data": whole_row(_there(found, slug))})

    async def versions(self, request: Request) -> Response:
        account, slug, page = self._account(request), _slug(request), _page(request)
        rows, count = await self.shelf.presets(lambda kept: kept.versions(account, slug, **page))
        _there(count or None, slug)
        return answer({"data": [version_row(one) for one in rows], "total_count": count})

    async def version(self, request: Request) -> Response:
        account, slug = self._account(request), _slug(request)
        said, found = request.path_params["version"], None
        if _NUMBER.fullmatch(said):
            number = int(said)
            found = await self.shelf.presets(lambda kept: kept.version(account, slug, number))
        return answer({"data": version_row(_there(found, slug, said))})

    def adds(self, words: Presets | None) -> Callable[[Request], Awaitable[Response]]:
        """What adds a version out of a request in those words."""
        assert words is not None

        async def add(request: Request) -> Response:
            key = self.authenticate(request)
            account, slug = _account_of(key), request.path_params["slug"]
            if not _SLUG.fullmatch(slug):
                text = "slug: expected at most 100 letters, digits and -._~, no sign first"
                raise GatewayError("invalid_request", text)
            most = min(self.body_bytes_max(), BODY_BYTES_MAX)
            body = await body_of(request, most)
            draft = words.draft(await in_turns(object_steps(body)))
            creator = account if key is None else key.hash
            try:
                made = await self.shelf.preset_added(
                    account, slug, draft, creator=creator, now=self.now()
                )
            except StoreUnavailable:
                raise
            except StoreError as error:  # there are too many
                raise GatewayError("invalid_request", str(error)) from None
            return answer({"data": whole_row(made)})

        return add

    def _account(self, request: Request) -> str:
        return _account_of(self.authenticate(request))


def _account_of(key: Key | None) -> str:
    return ANONYMOUS if key is None else key.account


def preset_row(preset: Preset) -> dict[str, Any]:
    """OpenRouter's `Preset`."""
    newest = preset.newest
    return {
        "id": id_of(newest.account, newest.slug),
        "creator_user_id": None,
        "workspace_id": newest.account,
        "name": newest.slug,
        "slug": newest.slug,
        "description": None,
        "status": "active",
        "designated_version_id": id_of(newest.account, newest.slug, newest.version),
        "created_at": _rfc3339(preset.created_at),
        "updated_at": _rfc3339(newest.created_at),
        "status_updated_at": None,
    }


def version_row(version: Version) -> dict[str, Any]:
    """OpenRouter's `PresetDesignatedVersion`."""
    return {
        "id": id_of(version.account, version.slug, version.version),
        "preset_id": id_of(version.account, version.slug),
        "creator_id": version.creator,
        "version": version.version,
        "system_prompt": version.draft.system_prompt,
        "config": orjson.Fragment(version.draft.config),  # a page of them is megabytes
        "created_at": _rfc3339(version.created_at),
        "updated_at": _rfc3339(version.created_at),
    }


def whole_row(preset: Preset) -> dict[str, Any]:
    """OpenRouter's `PresetWithDesignatedVersion`."""
    return {**preset_row(preset), "designated_version": version_row(preset.newest)}


def _slug(request: Request) -> str:
    """Raises GatewayError `not_found` where no preset can have it."""
    slug: str = request.path_params["slug"]
    if not _SLUG.fullmatch(slug):
        raise GatewayError("not_found", f"Preset {slug[:100]!a} not found")
    return slug


def _there(found: Any, slug: str, version: str | None = None) -> Any:
    if found is None:
        what = f"Preset {slug[:100]!a}" + (f", version {version[:20]!a}" if version else "")
        raise GatewayError("not_found", f"{what} not found")
    return found


def _page(request: Request) -> dict[str, int]:
    """Raises GatewayError `invalid_request`, which names the parameter."""
    query = request.query_params
    return {
        "offset": whole(query, "offset", default=0, low=0, high=OFFSET_MAX),
        "limit": whole(query, "limit", default=LIMIT_DEFAULT, low=1, high=LIMIT_MAX),
    }


def _rfc3339(seconds: float) -> str:
    at = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return at.replace("+00:00", "Z")
