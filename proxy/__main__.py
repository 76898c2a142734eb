"""`python -m proxy` is `weir`."""

from proxy.cli import main

main()
