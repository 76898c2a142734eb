"""What `weir ab show` prints: a column for each arm, a line for each figure."""

import json

from proxy.aliases import Alias, Arm
from proxy.api.aliases import trial_row
from proxy.arms import arms
from proxy.stores.trials import ArmRow, Waits

CHAT = Alias(id="team/chat", split=(Arm(model="a/one", weight=3.0), Arm(model="b/two", weight=0.5)))
SOLO = Alias(id="team/solo", sticky="none", split=(Arm(model="a/one", weight=1.0),))
ROWS = [
    ArmRow(
        arm="a/one",
        requests=3000,
        errors=30,
        cancelled=2,
        cost_nano=6_000_000,
        prompt_tokens=300_000,
        completion_tokens=600,
        finish_reasons={"error": 30, "stop": 2970},
        first=Waits(p50=100, p95=1900),
        whole=Waits(p50=2000, p95=9000),
        feedback={"latency": 2, "other": 1},
        remarked=3,
    ),
    ArmRow(arm="c/old", requests=1000, finish_reasons={"length": 1000}),
]


def test_arms_stand_side_by_side() -> None:
    text = arms([(CHAT, ROWS)], since=0.0, as_json=False)
    title, heads, *lines = text.splitlines()
    assert title == "team/chat   sticky: session   since: 1970-01-01T00:00:00+00:00"
    assert heads.split() == ["a/one", "b/two", "c/old"]
    cells = {line[:28].strip(): line[28:].split("  ") for line in lines}
    said = {name: [cell.strip() for cell in row if cell.strip()] for name, row in cells.items()}
    assert said == {
        "weight": ["3", "0.5", "none now"],
        "requests": ["3,000", "0", "1,000"],
        "share": ["75.0%", "0.0%", "25.0%"],
        "errors": ["30", "0", "0"],
        "error rate": ["1.0%", "0.0%"],
        "hung up": ["2", "0", "0"],
        "cost USD": ["0.006000", "0.000000", "0.000000"],
        "cost USD per request": ["0.000002", "0.000000"],
        "prompt tokens": ["300,000", "0", "0"],
        "completion tokens": ["600", "0", "0"],
        "first content ms, p50 / p95": ["100 / 1,900", "? / ?", "? / ?"],
        "whole answer ms, p50 / p95": ["2,000 / 9,000", "? / ?", "? / ?"],
        "answers with feedback": ["3", "0", "0"],
        "feedback rate": ["0.1%", "0.0%"],
        "ended: error": ["30", "0", "0"],
        "ended: length": ["0", "0", "1,000"],
        "ended: stop": ["2,970", "0", "0"],
        "said: latency": ["2", "0", "0"],
        "said: other": ["1", "0", "0"],
    }


def test_several_aliases_follow_each_other() -> None:
    text = arms([(CHAT, ROWS), (SOLO, [])], since=0.0, as_json=False)
    titles = [line for line in text.splitlines() if "sticky: " in line]
    assert [title.split()[0] for title in titles] == ["team/chat", "team/solo"]
    assert "\n\nteam/solo   sticky: none   " in text


def test_programs_read_what_the_api_answers() -> None:
    found = json.loads(arms([(CHAT, ROWS), (SOLO, [])], since=5.0, as_json=True))
    assert found == [trial_row(CHAT, ROWS, since=5.0), trial_row(SOLO, [], since=5.0)]


def test_without_aliases() -> None:
    assert arms([], since=0.0, as_json=False) == "no alias is configured"
    assert json.loads(arms([], since=0.0, as_json=True)) == []
