"""Campaigns: clean seeds, the report of a failure, and that the same seed is the same story."""

import subprocess
import sys

import pytest

from proxy.simulation import campaign
from proxy.simulation.campaign import Failure, replay, run
from proxy.simulation.vault import ModelVault

SEEDS = range(40)


def test_the_house_holds() -> None:
    said: list[str] = []
    assert run(SEEDS, say=said.append) == []
    assert said == []


def test_the_same_seed_is_the_same_story() -> None:
    outcomes = [replay(seed) for seed in (3, 3, 4)]
    assert outcomes[0] == outcomes[1] != outcomes[2]
    assert outcomes[0].events > 20


def test_the_story_does_not_hang_on_the_order_of_sets() -> None:
    code = (
        "from proxy.simulation.campaign import replay;"
        "print([replay(seed).fingerprint for seed in range(8)])"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": chance},
            check=True,
            capture_output=True,
        ).stdout
        for chance in ("1", "2")
    }
    assert len(said) == 1


def test_a_failure_tells_its_seed_and_its_story(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ModelVault, "settle", lambda *said: None)
    said: list[str] = []
    failures = run(range(10), say=said.append)
    assert failures
    assert said == [str(failure) for failure in failures]
    first, reason = failures[0], str(failures[0]).splitlines()[0]
    assert reason == f"seed {first.seed} at {first.at_s:.6f} s: {first.reason}"
    assert first.reason.startswith("Broken: ")
    assert str(first).splitlines()[1:] == list(first.events)
    assert first.events[-1].startswith(f"{first.at_s:.6f} ")


def test_progress_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    failure = Failure(seed=1, at_s=1.0, reason="it broke", events=())
    outcomes = {0: failure}
    monkeypatch.setattr(
        campaign,
        "replay",
        lambda seed: campaign.Outcome(failure=outcomes.get(seed), fingerprint=0, events=0),
    )
    said: list[str] = []
    assert run(range(1000), say=said.append) == [failure]
    assert said == [str(failure), "500 seeds, 1 failed", "1000 seeds, 1 failed"]
