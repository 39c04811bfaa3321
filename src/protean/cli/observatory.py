"""`protean observatory`: the page that shows the flow."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Annotated

import typer

from protean.cli.beside import end_with_standard_input
from protean.cli.grammar import DomainOption, between, command, examples
from protean.cli.opening import opened, require_servers
from protean.cli.output import say
from protean.exceptions import ConfigurationError

#: Shorter ones can be guessed.
SHORTEST_TOKEN = 24

Host = Annotated[str, typer.Option("--host", help="The address to listen on. Beyond this machine a token is needed.")]
Port = Annotated[int, typer.Option("--port", callback=between(0, 65535), help="The port; 0 for any that is free.")]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        envvar="PROTEAN_OBSERVATORY_TOKEN_FILE",
        metavar="FILE",
        help="Let in only who has the token in this file; made, for your eyes only, if it is not there.",
    ),
]
ReadTokenFile = Annotated[
    Path | None,
    typer.Option(
        "--read-token-file",
        envvar="PROTEAN_OBSERVATORY_READ_TOKEN_FILE",
        metavar="FILE",
        help="The same for those who may look and not act.",
    ),
]
ReadOnly = Annotated[bool, typer.Option("--read-only", help="Nobody may act, only look.")]
AllowHost = Annotated[
    list[str] | None,
    typer.Option("--allow-host", metavar="NAME", help="A name by which browsers may call it. May be given often."),
]

Leashed = Annotated[bool, typer.Option("--leashed", hidden=True, help="End when standard input does.")]
Prefix = Annotated[
    str, typer.Option("--prefix", metavar="PATH", help="The path below which a proxy shows it, such as /ops.")
]


def observatory(
    domain: DomainOption,
    *,
    host: Host = "127.0.0.1",
    port: Port = 9000,
    token_file: TokenFile = None,
    read_token_file: ReadTokenFile = None,
    read_only: ReadOnly = False,
    allow_host: AllowHost = None,
    prefix: Prefix = "",
    leashed: Leashed = False,
) -> None:
    """Serve the Observatory: what is on its way, how fast, what failed, and what to do about it.

    It asks database and broker at most once a second for all who look, and not at all while nobody does. Beside the
    pages: GET /stream (traces as server-sent events), GET /metrics (Prometheus), GET /api/openapi.json.

    On an address beyond this machine it needs --token-file; open it once as /?token=… and the browser remembers.
    """
    from protean.server.observatory.serving import Place, require_token, serve_observatory  # noqa: PLC0415  # half a second
    from protean.server.observatory.sessions import Role  # noqa: PLC0415  # it comes with the rest

    if leashed:
        end_with_standard_input()
    tokens = {}
    for role, file in ((Role.ALL, token_file), (Role.READ_ONLY, read_token_file)):
        if file is not None:
            tokens[role] = token_in(file)
    if len(set(tokens.values())) < len(tokens):
        raise ConfigurationError("--token-file and --read-token-file hold the same token: who may only look could act")
    require_token(host, tokens)
    with opened(domain) as loaded:
        require_servers(loaded)
        place = Place(host, port, tuple(allow_host or ()), tokens, read_only, prefix)
        said = "" if leashed else "\nCtrl-C ends it"
        raise typer.Exit(
            serve_observatory(loaded, place, lambda url: say(f"{_greeting(url, loaded.name, token_file)}{said}"))
        )


app = command(
    observatory,
    epilog=examples(
        "protean observatory --domain=src/my_domain",
        "protean observatory --prefix=/ops --allow-host=example.com",
        "protean observatory --host=0.0.0.0 --token-file=token --read-token-file=read-token",
    ),
)


def token_in(file: Path) -> str:
    """The token that a file holds; a new one if there is no such file. Raises ConfigurationError."""
    try:
        descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        token = _kept(file)
    except OSError as error:
        raise ConfigurationError(f"the token file {file} cannot be made: {error.strerror}") from None
    else:
        token = secrets.token_urlsafe(32)
        with os.fdopen(descriptor, "w", encoding="utf-8") as made:
            made.write(f"{token}\n")
    if len(token) < SHORTEST_TOKEN or not token.isascii() or any(letter.isspace() for letter in token):
        raise ConfigurationError(
            f"the token in {file} must be at least {SHORTEST_TOKEN} letters without spaces; remove the file, and "
            "a good one is made"
        )
    return token


def _kept(file: Path) -> str:
    """What an existing file holds."""
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigurationError(f"the token file {file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(
            f"the token file {file} is not text; remove the file, and a good one is made"
        ) from None


def _greeting(url: str, name: str, token_file: Path | None) -> str:
    link = url if token_file is None else f"{url}/?token=$(cat {token_file})"
    return f"Observatory of {name}: {link}"
