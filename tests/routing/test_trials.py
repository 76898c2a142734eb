"""Which arm of an alias a request is given: by weight, and the same for whom it sticks."""

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.aliases import Alias, Arm
from proxy.routing.trials import assigned
from proxy.wire.request import Ask

MANY = 20_000


def alias(*weights: float, sticky: Any = "session", id: str = "team/chat") -> Alias:
    split = tuple(Arm(model=f"a/{place}", weight=weight) for place, weight in enumerate(weights))
    return Alias(id=id, sticky=sticky, split=split)


def known(*aliases: Alias) -> Mapping[str, Alias]:
    return {one.id: one for one in aliases}


def ask(*models: str, **more: Any) -> Ask:
    body = {"user": more.pop("user")} if "user" in more else {}
    return Ask(models=models or ("team/chat",), body=body, **more)


def never() -> float:
    raise AssertionError("chance is not asked")


def given_to(
    request: Ask,
    one: Alias,
    *,
    session: str | None = None,
    key: str | None = None,
    rng: Callable[[], float] = never,
) -> str | None:
    return assigned(request, known(one), session=session, key=key, rng=rng)[1]


def arms(one: Alias, count: int = MANY) -> list[str | None]:
    """The arm of each of so many sessions."""
    return [given_to(ask(session_id=f"s{number}"), one) for number in range(count)]


def test_a_request_without_an_alias_is_handed_back_as_it_is() -> None:
    for request in (ask("a/0"), ask("a/0", "a/0"), ask("team/chatter"), ask("chat")):
        found, arm = assigned(request, known(alias(1, 1)), session="s", key="k", rng=never)
        assert found is request
        assert arm is None


def test_an_alias_is_replaced_wherever_it_stands_with_its_variants() -> None:
    one = known(alias(1))
    cases = {
        ("team/chat",): (("a/0",), "a/0"),
        ("team/chat:nitro",): (("a/0:nitro",), "a/0"),
        ("team/chat:free:floor", "b/x"): (("a/0:free:floor", "b/x"), "a/0"),
        ("b/x", "team/chat"): (("b/x", "a/0"), None),
        ("team/chat", "a/0", "b/x"): (("a/0", "b/x"), "a/0"),
    }
    for names, (models, arm) in cases.items():
        request = ask(*names, stream=True, session_id="s")
        found, given = assigned(request, one, session=None, key=None, rng=never)
        assert (found.models, given) == (models, arm)
        assert (found.stream, found.session_id, found.body) == (True, "s", request.body)
        assert request.models == names


def test_an_alias_of_one_model_needs_no_chance() -> None:
    assert given_to(ask(), alias(5, sticky="none")) == "a/0"


def test_who_it_is_sticky_for() -> None:
    """The first that is named of those, each of which is told from the others by what it gets."""
    one, two = alias(*[1] * 1000), alias(*[1] * 1000, sticky="user")

    def by(name: str, kind: Alias = one) -> str | None:
        return given_to(ask(session_id=name), alias(*[1] * 1000, id=kind.id))

    everything = ask(session_id="body", user="user")
    assert given_to(everything, one, session="head", key="key") == by("body")
    assert given_to(ask(user="user"), one, session="head", key="key") == by("head")
    assert given_to(ask(user="user"), one, session="", key="key") == by("user")
    assert given_to(ask(), one, key="key") == by("key")
    assert given_to(everything, two, session="head", key="key") == by("user")
    assert given_to(ask(session_id="body"), two, session="head", key="key") == by("key")
    for strange in ("", 7, None, ["user"]):
        assert given_to(ask(user=strange), two, key="key") == by("key")
    assert len({by(name) for name in ("body", "head", "user", "key")}) == 4


@pytest.mark.parametrize("sticky", ["session", "user"])
def test_who_says_nothing_of_itself_is_given_to_chance(sticky: str) -> None:
    one = alias(1, 3, sticky=sticky)
    assert given_to(ask(), one, rng=lambda: 0.24) == "a/0"
    assert given_to(ask(), one, rng=lambda: 0.26) == "a/1"


def test_not_sticky_is_chance_whoever_asks() -> None:
    one, rng = alias(3, 1, sticky="none"), Random(5)
    request = ask(session_id="s", user="u")
    found = Counter(given_to(request, one, key="k", rng=rng.random) for _ in range(MANY))
    assert found["a/0"] / MANY == pytest.approx(0.75, abs=0.015)


def test_a_rounding_at_the_end_of_chance_is_the_last_arm() -> None:
    """Taken off one by one, the weights may come to less than their sum."""
    one = alias(*[0.1] * 10, sticky="none")
    assert given_to(ask(), one, rng=lambda: 1.0) == "a/9"


@pytest.mark.parametrize("weights", [(1, 1), (3, 1), (1, 99), (0.5, 0.25, 0.25), (5, 3, 1, 1)])
def test_sessions_are_shared_by_weight(weights: tuple[float, ...]) -> None:
    found = Counter(arms(alias(*weights)))
    for place, weight in enumerate(weights):
        share = weight / sum(weights)
        # Five deviations: such a session is as good as a coin.
        within = 5 * (share * (1 - share) / MANY) ** 0.5
        assert found[f"a/{place}"] / MANY == pytest.approx(share, abs=within)


def test_a_change_of_weight_moves_only_who_must_move() -> None:
    before, after = arms(alias(1, 1, 1)), arms(alias(2, 1, 1))
    moved = Counter(pair for pair in zip(before, after, strict=True) if pair[0] != pair[1])
    assert {arm for _, arm in moved} == {"a/0"}, "only to the arm that gained"
    assert moved.total() / MANY == pytest.approx(1 / 2 - 1 / 3, abs=0.015)


def test_a_new_arm_takes_its_share_and_moves_nobody_else() -> None:
    before, after = arms(alias(1, 1)), arms(alias(1, 1, 2))
    pairs = list(zip(before, after, strict=True))
    assert all(old == new or new == "a/2" for old, new in pairs)
    assert sum(old != new for old, new in pairs) / MANY == pytest.approx(0.5, abs=0.02)


def test_two_aliases_share_their_sessions_independently() -> None:
    one = arms(alias(1, 1))
    requests = [ask("team/other", session_id=f"s{number}") for number in range(MANY)]
    two = [given_to(each, alias(1, 1, id="team/other")) for each in requests]
    same = sum(first == second for first, second in zip(one, two, strict=True))
    assert same / MANY == pytest.approx(0.5, abs=0.02)


@given(
    session=st.text(min_size=1),
    weights=st.lists(st.floats(min_value=1e-6, max_value=1e6), min_size=1, max_size=6),
    factor=st.sampled_from([0.5, 2.0, 1024.0]),
    rng=st.randoms(use_true_random=False),
)
def test_a_session_has_one_arm_whatever_their_order_and_the_unit_of_weights(
    session: str, weights: list[float], factor: float, rng: Random
) -> None:
    one = alias(*weights)
    split = list(one.split)
    rng.shuffle(split)
    shuffled = Alias(id=one.id, split=tuple(split))
    scaled = Alias(
        id=one.id,
        split=tuple(Arm(model=arm.model, weight=arm.weight * factor) for arm in one.split),
    )
    request = ask(session_id=session)
    first = given_to(request, one)
    assert first in {arm.model for arm in one.split}
    assert given_to(request, shuffled) == given_to(request, scaled) == first


def test_it_is_the_same_in_every_process() -> None:
    """Python's own hash differs from one to the next."""
    code = (
        "from tests.routing.test_trials import alias, arms\n"
        "print(''.join(str(arm)[-1] for arm in arms(alias(1, 1, 1), 200)))"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()
    assert said == "".join(str(arm)[-1] for arm in arms(alias(1, 1, 1), 200))
