"""`python -m protean`, where the command `protean` is not on the path."""

from protean.cli.main import main

main()
