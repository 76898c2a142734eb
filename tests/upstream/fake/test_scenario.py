"""Scenarios: what they may say, where they are wrong, and which rule holds when."""

import re

import pytest

from proxy.upstream.fake.scenario import (
    FAULTS,
    MODELS,
    Answer,
    Invocation,
    Rule,
    Scenario,
    Script,
    load_scenario,
)

WHOLE = """
seed = 7
api_key = "sk-fake"
models = ["weir/lorem", "a/b"]
[answer]
first_token_s = 0.5
tokens_per_s = 20
tokens = 4
event_bytes = 100
[[rules]]
model = "a/*"
on = "chat"
after = 1
times = 2
fault = "status"
status = 429
retry_after_s = 2
events = 1
delay_s = 0.25
tokens = 2
calls = [{ name = "Read", arguments = { file_path = "a.txt" } }]
[[rules]]
on = "models"
fault = "cut"
"""


def test_a_whole_scenario() -> None:
    scenario = load_scenario(WHOLE)
    assert scenario.seed == 7
    assert scenario.api_key == "sk-fake"
    assert scenario.models == ("weir/lorem", "a/b")
    assert scenario.answer == Answer(first_token_s=0.5, tokens_per_s=20, tokens=4, event_bytes=100)
    assert scenario.rules[0] == Rule(
        model="a/*",
        on="chat",
        after=1,
        times=2,
        fault="status",
        status=429,
        retry_after_s=2,
        events=1,
        delay_s=0.25,
        tokens=2,
        calls=(Invocation(name="Read", arguments={"file_path": "a.txt"}),),
    )
    assert scenario.rules[1] == Rule(on="models", fault="cut")


def test_an_empty_scenario_is_what_ships() -> None:
    assert load_scenario("") == Scenario()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sed = 1", "$.sed: there is no such key"),
        ("[answer]\nspeed = 1", "$.answer.speed: there is no such key"),
        ("[[rules]]\n[[rules]]\nfalt = 'cut'", "$.rules[1].falt: there is no such key"),
        ("[answer]\ntokens = -1", "$.answer.tokens: expected `int` >= 0"),
        ("[[rules]]\nstatus = 200", "$.rules[0].status: expected `int` >= 400"),
        ("[[rules]]\non = 'chats'", "$.rules[0].on: invalid enum value 'chats'"),
        ("models = [1]", "$.models[0]: expected `str`, got `int`"),
        ("[[rules]]\nfault = 'cutt'", '$.rules[0].fault: no fault is called "cutt"; did you mean'),
        ("[[rules]]\nfault = 'xyz'", '$.rules[0].fault: no fault is called "xyz"; known are no-'),
        ("seed = ", "$: not TOML: "),
    ],
)
def test_a_wrong_key_is_named_first(text: str, message: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        load_scenario(text)


def test_a_rule_overrides_only_what_it_names() -> None:
    base = Answer(first_token_s=1, tokens_per_s=2, tokens=3)
    assert Rule().answer(base) == base
    assert Rule(tokens_per_s=0.0, event_bytes=9).answer(base) == Answer(
        first_token_s=1, tokens_per_s=0, tokens=3, event_bytes=9
    )


def test_rules_hold_after_some_requests_for_some_requests() -> None:
    script = Script(
        Scenario(
            rules=(
                Rule(model="a/*", after=1, times=2, fault="cut"),
                Rule(model="a/b", fault="stall"),
                Rule(on="models", fault="html"),
            )
        )
    )
    assert [script.choose("chat", "a/b").fault for _ in range(5)] == [
        "stall",
        "cut",
        "cut",
        "stall",
        "stall",
    ]
    assert script.choose("chat", "a/c").fault is None  # the first rule is spent
    assert script.choose("models", "").fault == "html"


def test_the_models_that_ship_have_rules() -> None:
    script = Script(Scenario())
    for name in FAULTS:
        assert f"fault/{name}" in MODELS
        assert script.choose("chat", f"fault/{name}").fault == name
    assert script.choose("chat", "weir/slow").tokens_per_s == 8
    assert script.choose("chat", "weir/lorem") == Rule()
    assert script.choose("models", "fault/cut") == Rule()
