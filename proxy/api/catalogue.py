"""What there is: models, their endpoints and the providers, in OpenRouter's shapes.

Public routes, as at OpenRouter. The shapes are those its official Python SDK insists on; figures
that are not measured yet are null, as there for callers who show no key.
"""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

import orjson
from msgspec import structs
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from proxy.api.paging import ANTHROPIC, LIMIT_MAX, info_row, page_of, whole
from proxy.errors import GatewayError
from proxy.money import Pricing
from proxy.providers import Provider
from proxy.routing.catalogue import Catalogue, Endpoint, Model
from proxy.wire.listing import PARAMETERS

LIMIT_DEFAULT = 500

# fmt: off
UNBUILT_FILTERS = frozenset({
    "age", "arch", "category", "context", "distillable", "index", "input_modalities",
    "latency_max", "max_output_price", "max_price", "min_output_price", "min_price",
    "model_authors", "providers", "q", "region", "sort",
    "supported_parameters", "throughput_min", "tool_success_rate", "use_rss", "zdr",
})
# fmt: on
"""OpenRouter's filters of `GET /models` that would be met with silence."""

OUTPUTS = (
    "text", "image", "embeddings", "audio", "video", "rerank", "speech", "transcription"
)  # fmt: skip
"""What models put out, in OpenRouter's words; the first is what is listed where nothing is said."""

ALL = "all"


def routes(
    catalogue: Callable[[], Catalogue], providers: Callable[[], Iterable[Provider]]
) -> list[BaseRoute]:
    """The routes below `/api/v1`, reading whatever is current when they are asked."""

    async def models(request: Request) -> Response:
        query = dict(request.query_params)
        if ANTHROPIC in request.headers:
            return answer(page_of(_wanted(catalogue(), query), query))
        return answer(list_models(catalogue(), query))

    async def info(request: Request) -> Response:
        model = catalogue().models.get("{author}/{slug}".format(**request.path_params))
        if model is None or ANTHROPIC not in request.headers:
            raise GatewayError("not_found", "Not Found")
        return answer(info_row(model))

    async def embeddings(request: Request) -> Response:
        query = dict(request.query_params) | {"output_modalities": "embeddings"}
        return answer(list_models(catalogue(), query, path="/embeddings/models"))

    async def count(request: Request) -> Response:
        return answer({"data": {"count": len(_wanted(catalogue(), request.query_params))}})

    async def endpoints(request: Request) -> Response:
        slug = f"{request.path_params['author']}/{request.path_params['slug']}"
        model = catalogue().models.get(slug)
        if model is None:
            raise GatewayError("not_found", f"Model {slug[:200]!a} not found")
        return answer({"data": model_endpoints(model)})

    async def provider_list(_: Request) -> Response:
        return answer({"data": [provider_row(provider) for provider in providers()]})

    return [
        Route("/models", models),
        Route("/models/count", count),
        Route("/embeddings/models", embeddings),
        Route("/models/{author}/{slug:path}/endpoints", endpoints),
        Route("/models/{author}/{slug:path}", info),
        Route("/providers", provider_list),
    ]


def answer(value: Any, status: int = 200) -> Response:
    """A JSON answer."""
    return Response(orjson.dumps(value), status, media_type="application/json")


def list_models(
    catalogue: Catalogue, query: Mapping[str, str], path: str = "/models"
) -> dict[str, Any]:
    """The body of `GET /models`; without `offset` and `limit` it is the whole list. `path` is where
    it was asked for.
    """
    models = _wanted(catalogue, query)
    links: dict[str, str | None] = {"next": None}
    total = len(models)
    if "offset" in query or "limit" in query:
        offset = whole(query, "offset", default=0, low=0, high=10**9)
        limit = whole(query, "limit", default=LIMIT_DEFAULT, low=1, high=LIMIT_MAX)
        models = models[offset : offset + limit]
        if offset + limit < total:
            following = f"/api/v1{path}?offset={offset + limit}&limit={limit}"
            if path == "/models" and (outputs := query.get("output_modalities")):
                following += f"&output_modalities={outputs}"
            links["next"] = following
    return {"data": [model_row(model) for model in models], "total_count": total, "links": links}


def _wanted(catalogue: Catalogue, query: Mapping[str, str]) -> list[Model]:
    """The models that put out what is wanted. Raises GatewayError for another filter, and for what
    no model puts out.
    """
    if unbuilt := UNBUILT_FILTERS & query.keys():
        raise GatewayError("not_supported", f"{min(unbuilt)}: not supported yet")
    words = (query.get("output_modalities") or OUTPUTS[0]).split(",")
    if not {ALL, *OUTPUTS}.issuperset(words):
        known = ", ".join(OUTPUTS)
        raise GatewayError("invalid_request", f"output_modalities: must be {ALL}, or of {known}")
    models = catalogue.models.values()
    return [one for one in models if ALL in words or not {*words}.isdisjoint(one.output_modalities)]


def model_row(model: Model) -> dict[str, Any]:
    """One model of the list: OpenRouter's `Model`."""
    first = model.endpoints[0] if model.endpoints else None
    return {
        "id": model.id,
        "canonical_slug": model.id,
        "name": model.name,
        "created": model.created or 0,
        "description": model.description or "",
        "context_length": model.context_length,
        "architecture": architecture(model),
        "pricing": pricing_row(first.pricing if first else None),
        "top_provider": {
            "context_length": first.context_length if first else None,
            "max_completion_tokens": first.max_completion_tokens if first else None,
            "is_moderated": False,
        },
        "per_request_limits": None,
        "supported_parameters": _parameters(model.endpoints),
        "default_parameters": None,
        "supported_voices": None,
        "links": {"details": f"/api/v1/models/{model.id}/endpoints"},
    }


def architecture(model: Model) -> dict[str, Any]:
    """What goes in and what comes out."""
    inputs, outputs = list(model.input_modalities), list(model.output_modalities)
    return {
        "modality": f"{'+'.join(inputs)}->{'+'.join(outputs)}",
        "input_modalities": inputs,
        "output_modalities": outputs,
        "tokenizer": "Other",
        "instruct_type": None,
    }


def pricing_row(pricing: Pricing | None) -> dict[str, Any]:
    """Prices as decimal strings; an endpoint whose price nobody knows says -1, as OpenRouter's
    routers do, whose price is only known afterwards.
    """
    if pricing is None:
        return {"prompt": "-1", "completion": "-1"}
    row: dict[str, Any] = {}
    for name, value in structs.asdict(pricing).items():
        if isinstance(value, Decimal):
            if value or name in ("prompt", "completion"):
                row[name] = _plain(value)
        elif value:
            row[name] = [_override(structs.asdict(override)) for override in value]
    return row


def _override(prices: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _plain(value) if isinstance(value, Decimal) else value
        for name, value in prices.items()
        if value is not None
    }


def _plain(value: Decimal) -> str:
    """No exponent and no idle zeros: clients compare these strings."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _parameters(endpoints: Iterable[Endpoint]) -> list[str]:
    return sorted({parameter for endpoint in endpoints for parameter in _supported(endpoint)})


def _supported(endpoint: Endpoint) -> tuple[str, ...]:
    """What is not said is taken to be supported, as it is when a request is routed."""
    said = endpoint.supported_parameters
    return PARAMETERS if said is None else said


def model_endpoints(model: Model) -> dict[str, Any]:
    """The body of `GET /models/{author}/{slug}/endpoints`."""
    return {
        "id": model.id,
        "name": model.name,
        "created": model.created or 0,
        "description": model.description or "",
        "architecture": architecture(model),
        "endpoints": [endpoint_row(model, endpoint) for endpoint in model.endpoints],
    }


def endpoint_row(model: Model, endpoint: Endpoint) -> dict[str, Any]:
    """One endpoint: OpenRouter's `PublicEndpoint`."""
    parameters = _supported(endpoint)
    tools, choice = "tools" in parameters, "tool_choice" in parameters
    return {
        "name": f"{endpoint.provider.name} | {model.id}",
        "model_id": model.id,
        "model_name": model.name,
        "context_length": endpoint.context_length or model.context_length or 0,
        "pricing": pricing_row(endpoint.pricing),
        "provider_name": endpoint.provider.name,
        "tag": endpoint.tag,
        "quantization": endpoint.quantization,
        "max_completion_tokens": endpoint.max_completion_tokens,
        "max_prompt_tokens": None,
        "supported_parameters": sorted(parameters),
        "supports_implicit_caching": False,
        "supports_tool_choice": {
            "auto": tools,
            "none": tools,
            "required": choice,
            "function": choice,
        },
        "native_tools": {},
        "service_tier": None,
        "supports_diarization": False,
        "status": 0,
        "uptime_last_5m": None,
        "uptime_last_30m": None,
        "uptime_last_1d": None,
        "latency_last_30m": None,
        "throughput_last_30m": None,
    }


def provider_row(provider: Provider) -> dict[str, Any]:
    """One provider of `GET /providers`."""
    return {
        "name": provider.name,
        "slug": provider.slug,
        "privacy_policy_url": provider.privacy_policy_url,
        "terms_of_service_url": provider.terms_of_service_url,
        "status_page_url": provider.status_page_url,
        "headquarters": provider.headquarters,
        "datacenters": list(provider.datacenters) or None,
    }
