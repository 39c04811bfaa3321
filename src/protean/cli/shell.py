"""`protean shell`: Python with the domain at hand."""

from __future__ import annotations

import code
import importlib
import importlib.util
import sys
from typing import Annotated, Any

import typer

from protean import Q, UnitOfWork, current_domain, g
from protean.cli.grammar import DomainOption, command, examples
from protean.cli.opening import opened
from protean.cli.output import say
from protean.domain import Domain
from protean.utils.processing import Priority, processing_priority

CommandOption = Annotated[
    str | None, typer.Option("-c", "--command", metavar="CODE", help="Run this instead, print its value, and end.")
]
PlainOption = Annotated[bool, typer.Option("--plain", help="Python's own prompt, also where IPython is installed.")]


def shell(domain: DomainOption, code_given: CommandOption = None, plain: PlainOption = False) -> None:
    """Open an interpreter inside the domain: its elements by their names, `domain`, `repo(Aggregate)`, `Q`.

    It is the configured domain on its real servers: what you process is committed, and its events are handled.
    Without a terminal, a script is read from standard input. An exception in a script or -c ends it with exit code 1.
    """
    with opened(domain) as loaded, loaded.domain_context():
        names = names_in(loaded)
        if code_given is not None:
            _run(code_given, names)
        elif not sys.stdin.isatty():
            exec(compile(sys.stdin.read(), "<stdin>", "exec"), names)  # noqa: S102  # what the user typed is the point
        elif not plain and importlib.util.find_spec("IPython") is not None:
            say(_banner(loaded))
            importlib.import_module("IPython").start_ipython(argv=["--no-banner"], user_ns=names)
        else:
            _interact(loaded, names)


app = command(
    shell,
    epilog=examples(
        "protean shell --domain=src/my_domain",
        "protean shell -c 'repo(Customer).query.count()'",
        "protean shell < correct_prices.py",
    ),
)


def names_in(domain: Domain) -> dict[str, Any]:
    """What is there to be used. An element hides whatever else has its name, but not `domain`."""
    return {
        "__name__": "__main__",
        "Priority": Priority,
        "Q": Q,
        "UnitOfWork": UnitOfWork,
        "current_domain": current_domain,
        "g": g,
        "processing_priority": processing_priority,
        "repo": domain.repository_for,
        "view": domain.view_for,
        **domain.registry.elements,
        "domain": domain,
    }


def _run(text: str, names: dict[str, Any]) -> None:
    """Print the value of an expression, or run statements."""
    try:
        expression = compile(text, "<-c>", "eval")
    except SyntaxError:
        exec(compile(text, "<-c>", "exec"), names)  # noqa: S102  # what the user typed is the point
        return
    value = eval(expression, names)  # noqa: S307  # as above
    if value is not None:
        say(repr(value))


def _interact(domain: Domain, names: dict[str, Any]) -> None:
    try:
        # Line editing and completion, where Python was built with them.
        readline = importlib.import_module("readline")
        readline.set_completer(importlib.import_module("rlcompleter").Completer(names).complete)
        readline.parse_and_bind("tab: complete")
    except ImportError:
        say("No line editing: this Python has no readline.", err=True)
    code.interact(_banner(domain), local=names, exitmsg="")


def _banner(domain: Domain) -> str:
    databases = ", ".join(f"{name}: {config.provider}" for name, config in domain.config.databases.items())
    elements = ", ".join(sorted(domain.registry.elements)) or "none yet"
    return (
        f"The domain {domain.name} ({databases}), as `domain`, and inside its context.\n"
        f"Elements: {elements}\n"
        "Also: repo(…), view(…), Q, UnitOfWork, processing_priority, Priority, g. Ctrl-D ends it."
    )
