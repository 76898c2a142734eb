"""Bedrock's list of models."""

from typing import Any

import orjson
import pytest

from proxy.dialects.bedrock.listing import decode_listing
from proxy.errors import GatewayError
from proxy.wire.listing import Listing


def summary(model: str = "amazon.nova-lite-v1:0", **more: Any) -> dict[str, Any]:
    region = more.pop("region", "us-east-1")
    return {
        "modelArn": f"arn:aws:bedrock:{region}::foundation-model/{model}",
        "modelId": model,
        "modelName": "A name",
        "providerName": "Amazon",
        "inputModalities": ["TEXT", "IMAGE", "VIDEO", "SPEECH", "SMELL"],
        "outputModalities": ["TEXT"],
        "responseStreamingSupported": True,
        "customizationsSupported": [],
        "inferenceTypesSupported": ["ON_DEMAND"],
        "modelLifecycle": {"status": "ACTIVE"},
    } | more


def listed(*rows: Any) -> tuple[Listing, ...]:
    return decode_listing(orjson.dumps({"modelSummaries": rows}))


def test_a_row() -> None:
    assert listed(summary(), summary(modelName="again")) == (
        Listing(
            model="amazon.nova-lite-v1:0",
            name="A name",
            input_modalities=("text", "image", "video", "audio"),
            output_modalities=("text",),
        ),
    )


@pytest.mark.parametrize(
    ("model", "said", "outputs"),
    [
        ("amazon.titan-embed-text-v2:0", "EMBEDDING", "embeddings"),
        ("cohere.embed-v4:0", "EMBEDDING", "embeddings"),
        ("cohere.rerank-v3-5:0", "TEXT", "rerank"),
        ("amazon.titan-image-generator-v2:0", "IMAGE", "image"),
    ],
)
def test_what_does_not_stream(model: str, said: str, outputs: str) -> None:
    row = summary(model, outputModalities=[said], responseStreamingSupported=False)
    (one,) = listed(row)
    assert (one.model, one.output_modalities) == (model, (outputs,))


@pytest.mark.parametrize(
    "row",
    [
        "no row",
        {},
        summary(modelId=""),
        summary(modelId="x" * 257),
        summary(modelId="bell\a"),
        summary(outputModalities=["EMBEDDING"]),
        summary(outputModalities=["TEXT", "IMAGE"]),
        summary(outputModalities="TEXT"),
        summary(responseStreamingSupported=False),
        summary(inferenceTypesSupported=["PROVISIONED"]),
        summary(inferenceTypesSupported=None),
        summary(modelLifecycle={"status": "LEGACY"}),
    ],
    ids=str,
)
def test_what_is_left_out(row: Any) -> None:
    assert listed(row) == ()


@pytest.mark.parametrize(
    ("region", "prefix"),
    [
        ("us-west-2", "us"), ("us-gov-west-1", "us-gov"), ("eu-central-1", "eu"),
        ("ap-northeast-1", "apac"), ("sa-east-1", "global"), ("", "global"), (None, "global"),
    ],
)  # fmt: skip
def test_profiles_reach_what_cannot_be_asked_itself(region: str | None, prefix: str) -> None:
    row = summary("acme.large", region=region, inferenceTypesSupported=["INFERENCE_PROFILE"])
    row |= {"modelArn": None} if region is None else {}
    assert [one.model for one in listed(row)] == [f"{prefix}.acme.large"]


def test_a_row_that_tells_little() -> None:
    row = summary(modelLifecycle=None, modelName=5, inputModalities=None)
    assert listed(row) == (Listing(model="amazon.nova-lite-v1:0", output_modalities=("text",)),)


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"modelSummaries":{}}'])
def test_no_list_at_all(body: bytes) -> None:
    with pytest.raises(GatewayError) as error:
        decode_listing(body)
    assert error.value.kind == "provider_malformed"
