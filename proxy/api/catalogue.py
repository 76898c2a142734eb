"""What there is: models, their endpoints and the providers, in OpenRouter's shapes.

Public routes, as at OpenRouter, but for `/models/user`. A key that is no good is the same as none
on the public ones; with one, endpoints also tell how fast they were.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final
from urllib.parse import urlencode

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from proxy.api.feed import MEDIA_TYPE, rss
from proxy.api.finding import TAKEN, Ground, OfEndpoint, find, reachable, without_retention
from proxy.api.live import Live
from proxy.api.paging import ANTHROPIC, LIMIT_MAX, info_row, page_of, whole
from proxy.api.rows import Rows, endpoint_row, model_endpoints, model_row, provider_row
from proxy.api.standins import arms, meant, narrowed, standins
from proxy.api.values import ALL, said_of
from proxy.errors import GatewayError
from proxy.pipeline.large import in_turns
from proxy.providers import Provider
from proxy.routing.catalogue import Catalogue, Model
from proxy.wire.slices import Steps

LIMIT_DEFAULT: Final = 500

_UNFOUND: Final = frozenset(("model_unknown", "model_ambiguous", "no_endpoint"))


class Shop:
    """What the routes below `/api/v1` answer from; all of it is asked anew for every request.

    `authenticate` raises GatewayError for who may not ask. `enforce` says whether requests need
    credits, which only pay for what has a price. `wall` is seconds since 1970.
    """

    def __init__(
        self,
        *,
        catalogue: Callable[[], Catalogue],
        providers: Callable[[], Iterable[Provider]],
        live: Live,
        authenticate: Callable[[Request], object],
        enforce: Callable[[], bool],
        wall: Callable[[], float],
    ) -> None:
        self._catalogue = catalogue
        self._providers = providers
        self._live = live
        self._authenticate = authenticate
        self._enforce = enforce
        self._wall = wall
        self._rows = Rows()

    def routes(self) -> list[BaseRoute]:
        """The routes."""
        return [
            Route("/models", self._models),
            Route("/models/count", self._count),
            Route("/models/user", self._user),
            Route("/embeddings/models", self._embeddings),
            Route("/models/{author}/{slug:path}/endpoints", self._endpoints),
            Route("/models/{name:path}", self._info),
            Route("/model/{author}/{slug:path}", self._model),
            Route("/endpoints/zdr", self._zdr),
            Route("/providers", self._list_providers),
        ]

    async def _models(self, request: Request) -> Response:
        query = _said(request)
        feed = _feed(query)
        found = await self._find(query)
        if feed:
            shown, _ = paged(found, query)
            told = await in_turns(rss(shown, _address(request)))
            return Response(told, media_type=MEDIA_TYPE)
        if ANTHROPIC in request.headers:
            return answer(page_of(found, query))
        return answer(self._page(found, query, "/models"))

    async def _count(self, request: Request) -> Response:
        return answer({"data": {"count": len(await self._find(_said(request)))}})

    async def _user(self, request: Request) -> Response:
        self._authenticate(request)
        query = _said(request)
        priced_only = self._enforce()
        catalogue = self._catalogue()
        allowed = (
            narrowed(model, partial(reachable, model, priced_only=priced_only))
            for model in catalogue.models.values()
        )
        mine = Catalogue(filter(None, allowed), catalogue.aliases.values())
        found = await self._find(query, mine)
        return answer(self._page(found, query, "/models/user"))

    async def _embeddings(self, request: Request) -> Response:
        query = _said(request)
        found = await self._find({"output_modalities": ALL, **query})
        embedding = [model for model in found if "embeddings" in model.output_modalities]
        return answer(self._page(embedding, query, "/embeddings/models"))

    async def _info(self, request: Request) -> Response:
        if ANTHROPIC not in request.headers:
            raise GatewayError("not_found", "Not Found")
        return answer(info_row(_there(request.path_params["name"], self._catalogue())))

    async def _model(self, request: Request) -> Response:
        return answer({"data": model_row(named(request, self._catalogue()))})

    async def _endpoints(self, request: Request) -> Response:
        catalogue = self._catalogue()
        model = named(request, catalogue)
        alias = catalogue.aliases.get(model.id)
        behind = [model] if alias is None else arms(alias, catalogue)
        rows = await in_turns(self._told(behind, speed=self._is_known(request)))
        return answer({"data": model_endpoints(model, rows)})

    async def _zdr(self, request: Request) -> Response:
        models = self._catalogue().models.values()
        told = self._told(models, without_retention, speed=self._is_known(request))
        return answer({"data": await in_turns(told)})

    def _told(
        self, models: Iterable[Model], keep: OfEndpoint | None = None, *, speed: bool
    ) -> Steps[list[dict[str, Any]]]:
        """The rows of their endpoints, whose figures take up to 0.2 ms each."""
        rows: list[dict[str, Any]] = []
        for model in models:
            yield
            rows += (
                endpoint_row(model, one, self._live.row(one, speed=speed))
                for one in model.endpoints
                if keep is None or keep(model, one)
            )
        return rows

    async def _list_providers(self, _: Request) -> Response:
        return answer({"data": [provider_row(provider) for provider in self._providers()]})

    def _page(self, models: list[Model], query: Mapping[str, str], path: str) -> dict[str, Any]:
        return page(models, query, path, self._rows.of(self._catalogue()))

    async def _find(
        self, query: Mapping[str, str], catalogue: Catalogue | None = None
    ) -> list[Model]:
        catalogue = catalogue or self._catalogue()
        models = (*catalogue.models.values(), *standins(catalogue))
        return await in_turns(find(models, query, Ground(self._wall(), self._live)))

    def _is_known(self, request: Request) -> bool:
        try:
            self._authenticate(request)
        except GatewayError:
            return False
        return True


def answer(value: Any, status: int = 200) -> Response:
    """A JSON answer."""
    return Response(orjson.dumps(value), status, media_type="application/json")


def page(
    models: list[Model],
    query: Mapping[str, str],
    path: str = "/models",
    row: Callable[[Model], Any] = model_row,
) -> dict[str, Any]:
    """The body of a list of models: `ModelsListResponse`. `path` is where it was asked for, with
    `query`; `row` tells of a model.
    """
    shown, following = paged(models, query)
    links: dict[str, str | None] = {"next": None}
    if following is not None:
        links["next"] = f"/api/v1{path}?{urlencode({**query, **following}, safe=',')}"
    return {"data": list(map(row, shown)), "total_count": len(models), "links": links}


def paged(
    models: list[Model], query: Mapping[str, str]
) -> tuple[list[Model], dict[str, int] | None]:
    """Those of the page that `query` asks for, and where the next one is, if there is one. Without
    `offset` and `limit` they are all.
    """
    if "offset" not in query and "limit" not in query:
        return models, None
    offset = whole(query, "offset", default=0, low=0, high=10**9)
    limit = whole(query, "limit", default=LIMIT_DEFAULT, low=1, high=LIMIT_MAX)
    end = offset + limit
    return models[offset:end], {"offset": end, "limit": limit} if end < len(models) else None


def named(request: Request, catalogue: Catalogue) -> Model:
    """The model, alias or router that a path names, with the endpoints that its variants leave.

    Raises GatewayError `not_found`; `not_supported` for a variant that is not built.
    """
    return _there("{author}/{slug}".format(**request.path_params), catalogue)


def _there(name: str, catalogue: Catalogue) -> Model:
    try:
        return meant(name, catalogue)
    except GatewayError as error:
        if error.kind in _UNFOUND:
            raise GatewayError("not_found", f"Model {name[:200]!a} not found") from None
        raise


def _said(request: Request) -> dict[str, str]:
    return said_of(request.query_params.multi_items(), TAKEN)


def _address(request: Request) -> str:
    """Where its caller has the API, as far as that is said; the host is the caller's own word."""
    host = request.headers.get("host")
    return f"{request.scope['scheme']}://{host}/api/v1" if host else "/api/v1"


def _feed(query: dict[str, str]) -> bool:
    """Whether a feed is wished. Raises GatewayError `invalid_request`."""
    said = query.get("use_rss", "false")
    if said not in ("true", "false"):
        raise GatewayError("invalid_request", "use_rss: must be true or false")
    return said == "true"
