"""What providers do beside conversations, by dialect and task."""

from collections.abc import Mapping
from typing import Final

from proxy.dialects.forms import Outbound
from proxy.wire.request import Task

TASKS: Final[Mapping[tuple[str, Task], Outbound]] = {}
"""A row for each dialect and task; a task that a provider has no row for is not asked of it."""
