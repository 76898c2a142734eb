"""What providers do beside conversations: rows of dialects and tasks that there are."""

from typing import get_args

import orjson
import pytest

from proxy.dialects import outbound, tasks_of
from proxy.dialects.forms import Outbound
from proxy.dialects.tasks import TASKS, answering
from proxy.errors import GatewayError
from proxy.providers import DIALECTS, Provider, Quirks
from proxy.wire.request import Ask, Task

TALK = {"chat", "completion", "count"}


def provider(dialect: str, tasks: tuple[Task, ...] | None = None) -> Provider:
    return Provider(
        slug="acme", name="Acme", base_url="http://a.test", dialect=dialect, tasks=tasks
    )


def asks(task: Task) -> Ask:
    return Ask(models=("a/b",), body={}, task=task)


@pytest.mark.parametrize(
    ("task", "said", "good"),
    [
        ("embeddings", {"data": [{"embedding": [1]}, {"embedding": [2]}]}, True),
        ("embeddings", {"data": [{"embedding": [1], "index": 1}, {"embedding": [2], "index": 0}]},
         True),
        ("embeddings", {"data": [{"embedding": [1]}]}, False),
        ("embeddings", {"data": [{"embedding": [1], "index": 0}] * 2}, False),
        ("embeddings", {"data": [{"embedding": [1]}, {"embedding": [2], "index": 9}]}, False),
        ("embeddings", {"data": [{"embedding": [1]}] * 3}, False),
        ("embeddings", {"error": {"message": "no"}}, True),
        ("rerank", {"results": [{"index": 1, "score": 0.5}]}, True),
        ("rerank", {"results": [{"index": 2, "score": 0.5}]}, False),
        ("rerank", {"results": []}, False),
        ("rerank", {"error": {"message": "no"}}, True),
    ],
)  # fmt: skip
def test_an_answer_to_something_else_is_none(task: Task, said: object, good: bool) -> None:
    body = {"input": ["a", "b"], "documents": ["a", "b"]}
    row = TASKS["openai", task]
    checked = answering(row, Ask(models=("m",), body=body, task=task))
    assert checked.path is row.path
    if good:
        assert checked.decode_answer(orjson.dumps(said), Quirks())
    else:
        with pytest.raises(GatewayError) as told:
            checked.decode_answer(orjson.dumps(said), Quirks())
        assert told.value.kind == "provider_malformed"


def test_other_answers_are_taken_as_they_are() -> None:
    row = TASKS["openai", "image"]
    assert answering(row, asks("image")) is row


def test_every_row_is_of_a_dialect_and_a_task() -> None:
    for dialect, task in TASKS:
        assert dialect in DIALECTS
        assert task in get_args(Task)
        assert task != "chat", "conversations are in `providing`"


@pytest.mark.parametrize("row", TASKS.values(), ids=map(" ".join, TASKS))
def test_every_row_reads_nothing_out_of_nothing(row: Outbound) -> None:
    decoder = row.decoder(Quirks())
    assert [*decoder.feed(b""), *decoder.end()] == []


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_provider_can_be_asked_for_what_has_a_row_and_for_a_talk(dialect: str) -> None:
    own = {task for spoken, task in TASKS if spoken == dialect}
    assert tasks_of(provider(dialect)) == TALK | own
    assert tasks_of(provider(dialect, ())) == TALK
    for task in get_args(Task):
        narrow = tasks_of(provider(dialect, (task,)))
        assert narrow == TALK | (own & {task})


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_is_not_among_them_is_not_asked_of_it(dialect: str) -> None:
    told = set(get_args(Task)) - tasks_of(provider(dialect))
    for task in told:
        with pytest.raises(GatewayError) as raised:
            outbound(provider(dialect), "m", asks(task))
        assert raised.value.kind == "provider_unfit"
