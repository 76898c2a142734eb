"""What Google ran itself, as details of the reasoning."""

from typing import Any

from proxy.dialects.gemini.replay import Part, Replay
from proxy.dialects.gemini.server import Server, encrypted

Json = dict[str, Any]

CODE = {"executableCode": {"language": "PYTHON", "code": "print(1)"}}
OUTPUT = {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1\n"}}


def named(part: Json, id_: str) -> Json:
    ((key, value),) = part.items()
    return {key: {"id": id_} | value}


def back(details: tuple[Json, ...]) -> list[Part]:
    return Replay({"reasoning_details": list(details)}).server


def test_code_and_its_output() -> None:
    server = Server(0)
    server.call(CODE, "resp", "c2ln")
    details = server.result(OUTPUT, None)
    head, mark = details
    assert head | {"tool_call_id": ""} == {
        "type": "reasoning.server_tool_call",
        "tool_name": "code_execution",
        "arguments": '{"language":"PYTHON","code":"print(1)"}',
        "result": '{"outcome":"OUTCOME_OK","output":"1\\n"}',
        "tool_call_id": "",
        "format": "google-gemini-v1",
        "index": 0,
    }
    assert mark == encrypted("c2ln", 0, head["tool_call_id"])
    assert back(details) == [CODE | {"thoughtSignature": "c2ln"}, OUTPUT]
    assert server.end() == ()


def test_results_find_their_call() -> None:
    search = {"toolCall": {"toolType": "GOOGLE_SEARCH_WEB", "args": {"queries": ["a"]}, "id": "q"}}
    found = {"toolResponse": {"toolType": "GOOGLE_SEARCH_WEB", "response": {"x": 1}, "id": "q"}}
    server = Server(0)
    server.call(named(CODE, "c"), "resp", None)
    server.call(search, "resp", "YQ==")
    first = server.result(found, "Yg==")
    assert back(first) == [
        search | {"thoughtSignature": "YQ=="},
        found | {"thoughtSignature": "Yg=="},
    ]
    assert back(server.result(named(OUTPUT, "c"), None)) == [named(CODE, "c"), named(OUTPUT, "c")]


def test_calls_without_a_result() -> None:
    server = Server(0)
    server.call(CODE, "resp", None)
    server.call({"toolCall": {"id": "q"}}, "resp", "c2ln")
    details = server.end()
    assert [detail.get("tool_name") for detail in details] == ["code_execution", "tool", None]
    assert len({detail["tool_call_id"] for detail in details[:2]}) == 2
    assert back(details)[0] == CODE


def test_results_without_a_call_and_parts_that_are_broken() -> None:
    server = Server(0)
    assert server.result(OUTPUT, None) == ()
    server.call({"toolCall": 3}, "resp", None)
    (detail,) = server.result({"toolResponse": 3}, None)
    assert (detail["tool_name"], detail["arguments"], detail["result"]) == ("tool", "{}", "{}")
