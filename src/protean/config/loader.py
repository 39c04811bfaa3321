"""Finding the configuration file of a domain."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from protean.config.reading import Place
from protean.config.schema import Config
from protean.exceptions import ConfigurationError

#: Looked for in this order, in the folder and the two above it; the first hit wins.
NAMES: Final = (".domain.toml", "domain.toml", "pyproject.toml")
PARENTS: Final = 2


def load(folder: Path | None = None, *, env: str | None = None, environ: Mapping[str, str] = os.environ) -> Config:
    """The configuration of the domain that lives in `folder`, by default the current one.

    `env` is the overlay to put over it, by default PROTEAN_ENV. Without any file: everything in memory.
    Raises ConfigurationError listing every problem of the file.
    """
    start = (folder or Path.cwd()).resolve()
    for place in (start, *start.parents[:PARENTS]):
        for name in NAMES:
            found = _table(place / name)
            if found is not None:
                return _config(place / name, found, env, environ)
    return Config.from_mapping({}, root=start, env=env, environ=environ)


def _table(file: Path) -> Mapping[str, Any] | None:
    """What the file says to us; None where there is none, or a pyproject.toml of others."""
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} cannot be read: {error}") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigurationError(f"{file} is not valid TOML: {error}") from None
    if file.name != "pyproject.toml":
        return content
    tool = content.get("tool", {})
    table = tool.get("protean") if isinstance(tool, dict) else None
    return table if isinstance(table, dict) else None


def _config(file: Path, table: Mapping[str, Any], env: str | None, environ: Mapping[str, str]) -> Config:
    prefix = ("tool", "protean") if file.name == "pyproject.toml" else ()
    return Config.from_mapping(table, root=file.parent, env=env, environ=environ, place=Place(file.name, prefix, file))
