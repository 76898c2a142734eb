"""Which models make images, what they can be told, and what an image costs: OpenRouter's shapes.

Public routes, as those of the catalogue.
"""

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from proxy.api.catalogue import answer, named
from proxy.dialects.images.abilities import abilities, shows
from proxy.errors import GatewayError
from proxy.money import Pricing
from proxy.routing.catalogue import Catalogue, Endpoint, Model


def routes(catalogue: Callable[[], Catalogue]) -> list[BaseRoute]:
    """The routes below `/api/v1`, reading what is current when they are asked."""

    async def models(_: Request) -> Response:
        found = (model for model in catalogue().models.values() if drawing(model))
        return answer({"data": [model_row(model) for model in found]})

    async def endpoints(request: Request) -> Response:
        model = named(request, catalogue())
        if not drawing(model):
            raise GatewayError("not_found", f"Image model {model.id[:200]!a} not found")
        return answer({"id": model.id, "endpoints": [endpoint_row(e) for e in drawing(model)]})

    return [
        Route("/images/models", models),
        Route("/images/models/{author}/{slug:path}/endpoints", endpoints),
    ]


def drawing(model: Model) -> tuple[Endpoint, ...]:
    """Its endpoints that can be asked for images."""
    return tuple(endpoint for endpoint in model.endpoints if "image" in endpoint.tasks)


def model_row(model: Model) -> dict[str, Any]:
    """One model of the list: OpenRouter's `ImageModelListItem`, with what any endpoint knows."""
    endpoints = drawing(model)
    return {
        "id": model.id,
        "name": model.name,
        "created": model.created or 0,
        "description": model.description or "",
        "architecture": {
            "input_modalities": list(model.input_modalities),
            "output_modalities": list(model.output_modalities),
        },
        "supported_parameters": _union(abilities(e.provider, e.model) for e in endpoints),
        "supports_streaming": any(shows(e.provider, e.model) for e in endpoints),
        "endpoints": f"/api/v1/images/models/{model.id}/endpoints",
    }


def _union(known: Iterable[dict[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """What at least one of them knows."""
    union: dict[str, dict[str, Any]] = {}
    for one in known:
        for name, ability in one.items():
            before = union.get(name, ability)
            union[name] = dict(ability)
            if "values" in ability:
                union[name]["values"] = list(dict.fromkeys([*before["values"], *ability["values"]]))
            elif "max" in ability:
                union[name]["max"] = max(before["max"], ability["max"])
    return union


def endpoint_row(endpoint: Endpoint) -> dict[str, Any]:
    """One endpoint: OpenRouter's `ImageEndpoint`."""
    return {
        "provider_name": endpoint.provider.name,
        "provider_slug": endpoint.provider.slug,
        "provider_tag": endpoint.tag,
        "supported_parameters": abilities(endpoint.provider, endpoint.model),
        "allowed_passthrough_parameters": [],
        "supports_streaming": shows(endpoint.provider, endpoint.model),
        "pricing": pricing_rows(endpoint.pricing),
    }


def pricing_rows(pricing: Pricing | None) -> list[dict[str, Any]]:
    """What is charged, line by line: `ImagePricingEntry`; nothing where nobody knows the price."""
    if pricing is None:
        return []
    tokens = pricing.completion if pricing.image_output is None else pricing.image_output
    lines: list[tuple[str, str, Decimal | None]] = [
        ("output_image", "image", pricing.output_image),
        ("output_image", "token", tokens),
        ("input_image", "token", pricing.image_token),
        ("input_text", "token", pricing.prompt),
    ]
    return [
        {"billable": billable, "unit": unit, "cost_usd": float(price)}
        for billable, unit, price in lines
        if price
    ]
