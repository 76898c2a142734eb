"""The simulated provider: an ASGI application that answers, and fails, as real ones were recorded.

It stands apart from the house: it imports nothing of it, so that it can bear witness against it.
"""

from proxy.upstream.fake.scenario import (
    FAULTS,
    MODELS,
    Answer,
    Invocation,
    Rule,
    Scenario,
    load_scenario,
)
from proxy.upstream.fake.server import Fake, fake

__all__ = [
    "FAULTS",
    "MODELS",
    "Answer",
    "Fake",
    "Invocation",
    "Rule",
    "Scenario",
    "fake",
    "load_scenario",
]
