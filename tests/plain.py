"""The plainest ask and bill, for tests to which it does not matter what is asked and charged."""

from proxy.dialects import Bill
from proxy.wire.events import Usage
from proxy.wire.request import Ask, Thinking

ASK = Ask(models=("m",), body={"messages": []})
HIDING = Ask(
    models=("m",),
    body={"messages": []},
    thinking=Thinking(wish={}, hidden=True),
)
"""Of a caller that does not want to see what the model thinks."""
BILL = Bill(Usage())
