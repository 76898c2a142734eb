"""The bench: what a relay costs in CPU time, waiting and memory, next to nginx and to none."""
