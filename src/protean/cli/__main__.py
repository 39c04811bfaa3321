"""`python -m protean.cli`, where the command `protean` is not on the path."""

from protean.cli.main import main

main()
