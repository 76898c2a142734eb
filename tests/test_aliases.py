"""Aliases as the configuration has them: what is taken, and what is refused at which key."""

from typing import Any

import pytest

from proxy.aliases import Alias, Arm, faults
from proxy.config import decode
from proxy.settings import ConfigError

SPLIT = "[[aliases.split]]\nmodel = 'a/one'\nweight = 3\n"
ALIAS = f"[[aliases]]\nid = 'team/chat'\n{SPLIT}"
ONE = "$.aliases[0].split[0]"
TWO = "$.aliases[0].split[1]"


def load(text: str) -> Any:
    return decode(text, environ={}, read_file=lambda _: "")


def test_an_alias_is_sticky_by_session_unless_it_says_otherwise() -> None:
    (alias,) = load(ALIAS).aliases
    assert alias == Alias(id="team/chat", split=(Arm(model="a/one", weight=3.0),))
    assert alias.sticky == "session"
    assert load("").aliases == ()


WRONG = [
    (SPLIT.replace("aliases.split", "aliases"), "$.aliases[0].model", "unknown key"),
    ("[[aliases]]\nid = 'a/b'", "$.aliases[0].split", "missing"),
    ("[[aliases]]\nid = 'a/b'\nsplit = []", "$.aliases[0].split", "expected"),
    (ALIAS.replace("team/chat", "chat"), "$.aliases[0].id", 'expected "author/name", got "chat"'),
    (ALIAS.replace("team/chat", "team/chat:free"), "$.aliases[0].id", 'expected "author/name"'),
    (ALIAS.replace("team/chat", "@preset/chat"), "$.aliases[0].id", 'expected "author/name"'),
    (
        f"[[models]]\nid = 'team/chat'\n{ALIAS}",
        "$.aliases[0].id",
        '"team/chat" is given twice, first at $.models[0].id',
    ),
    (
        ALIAS + ALIAS,
        "$.aliases[1].id",
        '"team/chat" is given twice, first at $.aliases[0].id',
    ),
    (ALIAS + SPLIT, f"{TWO}.model", f'"a/one" is given twice, first at {ONE}.model'),
    (ALIAS.replace("a/one", "team/chat"), f"{ONE}.model", '"team/chat" is an alias itself'),
    (
        ALIAS + "[[aliases]]\nid = 'x/y'\n" + SPLIT.replace("a/one", "team/chat:nitro"),
        "$.aliases[1].split[0].model",
        '"team/chat:nitro" is an alias itself',
    ),
    (ALIAS.replace("a/one", ""), f"{ONE}.model", "expected"),
    *(
        (ALIAS.replace("weight = 3", f"weight = {weight}"), f"{ONE}.weight", "expected")
        for weight in ("0", "-1", "nan", "inf", "1000001", "'3'")
    ),
    (
        ALIAS.replace("chat'", "chat'\nsticky = 'key'"),
        "$.aliases[0].sticky",
        'expected one of "none", "session", "user", got "key"',
    ),
]


@pytest.mark.parametrize(("text", "path", "reason"), WRONG)
def test_what_is_wrong_is_named(text: str, path: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert caught.value.path == path
    assert caught.value.reason.startswith(reason)


def test_a_model_may_be_one_that_nobody_knows_yet_and_may_have_variants() -> None:
    split = (Arm(model="x/later:nitro", weight=0.5), Arm(model="x/later", weight=1_000_000))
    assert list(faults([Alias(id="team/chat", split=split)], ["x/now"])) == []
