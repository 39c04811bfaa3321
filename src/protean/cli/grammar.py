"""Options that several commands take, and how the application reads arguments, shows help and ends.

Help is laid out as plain text, the same on a terminal and in a pipe: rich's boxes cannot be grepped or pasted.
"""

from __future__ import annotations

import getpass
import io
import sys
import traceback
from collections.abc import Callable, Sequence
from math import inf
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from protean.cli.commands import COMMANDS, Commands
from protean.cli.output import complain
from protean.exceptions import ConfigurationError, ProteanError

#: Exit codes. That of misuse is the shell's custom, and typer's.
FAILED, MISUSED = 1, 2

DomainOption = Annotated[
    str,
    typer.Option(
        "--domain",
        envvar="PROTEAN_DOMAIN",
        show_default=False,
        metavar="PATH",
        help="The domain: a module, a file or a folder, or module:attribute.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; needed where nobody can answer.")]
HandlerOption = Annotated[str | None, typer.Option("--handler", metavar="NAME", help="Only this handler's.")]
StreamOption = Annotated[
    str | None, typer.Option("--stream", metavar="STREAM", help="Only of this lane's stream, as `customer:backfill`.")
]


ByOption = Annotated[str, typer.Option("--by", metavar="NAME", help="Who decides this; by default the account's name.")]


class Application(TyperGroup):
    """The root of all commands: lists them by section, and turns what they raise into one line and an exit code."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = Commands()  # type: ignore[assignment]  # nobody adds to it

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: ARG002  # whoever calls, the process ends here
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> NoReturn:
        """Run one command line and end the process: 0, 1 for a failure, 2 for misuse and configuration."""
        _print_anything()
        arguments, debug = _without_debug(list(sys.argv[1:] if args is None else args))
        try:
            code = super().main(
                arguments,
                prog_name=prog_name or "protean",
                complete_var=complete_var,
                standalone_mode=False,
                windows_expand_args=windows_expand_args,
                **extra,
            )
        except typer.Abort:
            complain("given up, nothing was done")
            sys.exit(FAILED)
        except typer.TyperException as error:
            _misused(error)
            sys.exit(error.exit_code)
        except ProteanError as error:
            _report(error, str(error), debug)
            sys.exit(MISUSED if isinstance(error, ConfigurationError) else FAILED)
        except Exception as error:  # noqa: BLE001  # a bug, ours or a handler's: told in a line, shown with --debug
            hint = "" if debug else "; --debug shows where"
            _report(error, f"unexpected {type(error).__name__}: {error}{hint}", debug)
            sys.exit(FAILED)
        sys.exit(code if isinstance(code, int) else 0)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002  # typer gives it
        """Commands under their headings."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for name, listed in COMMANDS.items():
            sections.setdefault(listed.heading, []).append((name, listed.text))
        for heading, rows in sections.items():
            with formatter.section(heading):
                formatter.write_dl(rows)


def group(help_text: str) -> typer.Typer:
    """A group of commands."""
    return typer.Typer(help=help_text, no_args_is_help=True, rich_markup_mode=None, add_completion=False)


def command(function: Callable[..., None], *, epilog: str, short_help: str | None = None) -> typer.Typer:
    """A command that is in no group."""
    alone = typer.Typer(rich_markup_mode=None, add_completion=False)
    alone.command(epilog=epilog, short_help=short_help)(function)
    return alone


def examples(*lines: str) -> str:
    """An epilog of examples, one a line. The backspace keeps help from rewrapping them."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def account() -> str:
    """The name of who runs this command, for records."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number that has no name
        return "unknown"


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is lost. Raises ConfigurationError where nobody can answer and `--yes` was not given."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigurationError("nobody is there to confirm this (no terminal): add --yes if it is meant")
    typer.confirm(question, abort=True, err=True)


def between(low: float, high: float = inf) -> Callable[[float], float]:
    """A check for an option's number whose complaint names the number, which typer's own does not."""

    def check(value: float) -> float:
        if not low <= value <= high:
            wanted = f"at least {low:g}" if high == inf else f"from {low:g} to {high:g}"
            raise typer.BadParameter(f"{value:g} must be {wanted}")
        return value

    return check


def _without_debug(arguments: list[str]) -> tuple[list[str], bool]:
    """`--debug` may stand anywhere: people append it to the line that has just failed."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    kept = [argument for argument in arguments[:end] if argument != "--debug"]
    return kept + arguments[end:], len(kept) < end


def _misused(error: typer.TyperException) -> None:
    """A complaint is one line, in our words; the help that a group alone asks for stays as it is laid out."""
    text = error.format_message()
    if type(error).__name__ == "NoArgsIsHelpError":  # typer does not export it
        typer.echo(text, err=True)
    elif text:
        for theirs, ours in (("Value error, ", ""), ("Input should be ", "must be ")):
            text = text.replace(theirs, ours)
        complain(" ".join(text.split()))


def _report(error: BaseException, text: str, debug: bool) -> None:
    if debug:
        traceback.print_exception(error)
    complain(text)


def _print_anything() -> None:
    """A character that the terminal's or pipe's encoding lacks is spelled out instead of raising."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
