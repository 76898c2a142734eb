"""A model, an endpoint and a provider in OpenRouter's shapes.

The fields are those its official Python SDK insists on, and its newest; what nobody says is null,
and what is optional there and known to nobody here is left out.
"""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, Final
from weakref import WeakKeyDictionary

import orjson
from msgspec import structs

from proxy.api.families import family_of
from proxy.api.live import NOTHING
from proxy.money import Pricing
from proxy.providers import Provider
from proxy.routing.catalogue import Catalogue, Endpoint, Model
from proxy.wire.listing import PARAMETERS

_MODALITIES: Final = ("text", "image", "file", "audio", "video")
"""In the order in which OpenRouter's `modality` has them, however its lists go."""


class Rows:
    """Rows of models as JSON, made once for as long as their catalogue is there: whoever asks for
    the whole list, and anybody may, costs little more than its bytes.
    """

    def __init__(self) -> None:
        self._kept: WeakKeyDictionary[Catalogue, dict[str, orjson.Fragment]] = WeakKeyDictionary()

    def of(self, catalogue: Catalogue) -> Callable[[Model], Any]:
        """What gives the row of a model; of one that is none of `catalogue`'s none is kept."""
        kept = self._kept.setdefault(catalogue, {})

        def row(model: Model) -> Any:
            if catalogue.models.get(model.id) is not model:
                return model_row(model)
            found = kept.get(model.id)
            if found is None:
                found = kept[model.id] = orjson.Fragment(orjson.dumps(model_row(model)))
            return found

        return row


def model_row(model: Model) -> dict[str, Any]:
    """One model of the list: OpenRouter's `Model`."""
    first = first_of(model)
    return {
        "id": model.id,
        "canonical_slug": model.id,
        "hugging_face_id": None,
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
        "knowledge_cutoff": None,
        "expiration_date": None,
        "links": {"details": f"/api/v1/models/{model.id}/endpoints"},
    }


def first_of(model: Model) -> Endpoint | None:
    """The endpoint whose price and limits stand for the model: the first that is asked without a
    wish for a service tier, if there is one.
    """
    ordinary = (endpoint for endpoint in model.endpoints if endpoint.tier is None)
    return next(ordinary, next(iter(model.endpoints), None))


def architecture(model: Model) -> dict[str, Any]:
    """What goes in and what comes out."""
    inputs, outputs = list(model.input_modalities), list(model.output_modalities)
    return {
        "modality": f"{_modality(inputs)}->{_modality(outputs)}",
        "input_modalities": inputs,
        "output_modalities": outputs,
        "tokenizer": family_of(model.id),
        "instruct_type": None,
    }


def _modality(words: Iterable[str]) -> str:
    places = {word: place for place, word in enumerate(_MODALITIES)}
    return "+".join(sorted(words, key=lambda word: places.get(word, len(places))))


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
    return sorted({parameter for endpoint in endpoints for parameter in supported(endpoint)})


def supported(endpoint: Endpoint) -> tuple[str, ...]:
    """What is not said is taken to be supported, as it is when a request is routed."""
    said = endpoint.supported_parameters
    return PARAMETERS if said is None else said


def model_endpoints(model: Model, endpoints: Iterable[dict[str, Any]] | None = None) -> Any:
    """The body of `GET /models/{author}/{slug}/endpoints`: all its endpoints, or these rows."""
    if endpoints is None:
        endpoints = (endpoint_row(model, endpoint) for endpoint in model.endpoints)
    return {
        "id": model.id,
        "name": model.name,
        "created": model.created or 0,
        "description": model.description or "",
        "architecture": architecture(model),
        "endpoints": list(endpoints),
    }


def endpoint_row(
    model: Model, endpoint: Endpoint, live: Mapping[str, Any] = NOTHING
) -> dict[str, Any]:
    """One endpoint: OpenRouter's `PublicEndpoint`, with its `live` figures."""
    parameters = supported(endpoint)
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
        "supports_implicit_caching": _caches(endpoint),
        "supports_tool_choice": {
            "auto": tools,
            "none": tools,
            "required": choice,
            "function": choice,
        },
        "native_tools": {},
        "service_tier": endpoint.tier,
        "supports_diarization": False,
        **live,
    }


def _caches(endpoint: Endpoint) -> bool:
    """Whether it caches prompts unasked: where its provider is known to, and has a price for it."""
    pricing = endpoint.pricing
    return (
        endpoint.provider.caches_unasked
        and pricing is not None
        and pricing.input_cache_read is not None
    )


def provider_row(provider: Provider) -> dict[str, Any]:
    """One provider of `GET /providers`, and what it does with prompts, which OpenRouter keeps to
    its pages; null is "does not say".
    """
    return {
        "name": provider.name,
        "slug": provider.slug,
        "privacy_policy_url": provider.privacy_policy_url,
        "terms_of_service_url": provider.terms_of_service_url,
        "status_page_url": provider.status_page_url,
        "headquarters": provider.headquarters,
        "datacenters": list(provider.datacenters) or None,
        "trains_on_data": provider.trains_on_data,
        "retains_prompts_days": provider.retains_prompts_days,
    }
