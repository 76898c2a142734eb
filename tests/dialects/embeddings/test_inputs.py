"""What is to be embedded, for providers that take some of it."""

from typing import Any

import pytest

from proxy.dialects.asking import Target
from proxy.dialects.embeddings import inputs
from proxy.errors import GatewayError
from proxy.providers import Provider
from proxy.wire.events import Ended, Finished, Produced, Started, Usage, UsageReport
from proxy.wire.request import Ask

TARGET = Target(Provider(slug="p", name="P", base_url="http://p.test"), "m")
MEDIA = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]


def ask(**body: Any) -> Ask:
    return Ask(models=("m",), body=body, task="embeddings")


def test_texts_and_the_same_as_messages() -> None:
    texts = ask(input=["a", "b"])
    assert inputs.texts(texts, TARGET) == ["a", "b"]
    assert [one["content"] for one in inputs.messages(texts, TARGET)] == ["a", "b"]
    assert inputs.messages(ask(messages=MEDIA), TARGET) == MEDIA


@pytest.mark.parametrize(
    ("body", "what"),
    [({"messages": MEDIA}, "images, sound or files"), ({"input": [[1]]}, "tokens in place")],
)
def test_what_is_no_text_is_for_others(body: dict[str, Any], what: str) -> None:
    with pytest.raises(GatewayError, match=f"P can not be sent {what}") as caught:
        inputs.texts(ask(**body), TARGET)
    assert caught.value.kind == "provider_unfit"


def test_only_one_at_a_time() -> None:
    assert inputs.alone(["a"], TARGET) == "a"
    with pytest.raises(GatewayError, match="more than one input at a time"):
        inputs.alone(["a", "b"], TARGET)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (None, "usual"),
        ("", "usual"),
        ("query", "Q"),
        ("SEARCH_QUERY", "Q"),
        ("retrieval_document", "D"),
        ("passage", "D"),
        ("clustering", "clustering"),
    ],
)
def test_what_an_input_is_for(said: str | None, meant: str) -> None:
    assert inputs.purpose(ask(input_type=said), inputs.sides("Q", "D"), "usual") == meant
    assert inputs.purpose(ask(), {}) is None


def test_the_events_of_an_answer() -> None:
    usage = Usage(prompt_tokens=1)
    assert inputs.answer([(1, [0.5])], usage, id="x") == [
        Started(upstream_id="x"),
        Produced(0, {"index": 1, "embedding": [0.5]}),
        UsageReport(usage),
        Finished(0, "stop", None),
        Ended(),
    ]
    assert UsageReport not in map(type, inputs.answer([], None))
