"""Whether a name of the table is there, looked up where its users would find it."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable
from typing import Any, get_type_hints

import typer.main

from protean import Domain, fields
from protean.cli.main import app
from protean.config import Config
from protean.elements import options
from protean.elements.aggregate import AggregateElement
from protean.ports.query import Lookup
from protean.write.query import QuerySet, ResultSet
from protean.write.repository import Repository
from protean.write.view import View

#: What the first word of a name stands for.
_OBJECTS: dict[str, Any] = {
    "domain": Domain,
    "aggregate": AggregateElement,
    "repo": Repository,
    "view": View,
    "query": QuerySet,
    "results": ResultSet,
}
_OPTIONS: dict[str, Any] = {
    "aggregate": options.AggregateOptions,
    "entity": options.EntityOptions,
    "event": options.EventOptions,
    "projector": options.ProjectorOptions,
    "event_handler": options.EventHandlerOptions,
    "upcaster": options.UpcasterOptions,
}


def exists(name: str) -> bool:
    """Whether what `name` says is there."""
    for pattern, look in _LOOKS:
        if (found := re.fullmatch(pattern, name)) is not None:
            return look(*found.groups())
    return _configured("", name)


def _command(words: str) -> bool:
    command: Any = typer.main.get_command(app)
    for word in words.split():
        if word.startswith("--"):
            return any(word in option.opts for option in command.params)
        command = getattr(command, "commands", {}).get(word)
        if command is None:
            return False
    return True


def _attribute(of: str, path: str) -> bool:
    value = _OBJECTS[of]
    for part in path.split("."):
        if not hasattr(value, part):
            return part in getattr(value, "__annotations__", {})
        value = getattr(value, part)
        if isinstance(value, property):  # `_dao.query.all`: a repository, and then a query set
            value = {"_dao": Repository, "query": QuerySet}.get(part, value)
    return True


def _imported(path: str) -> bool:
    module, _, attribute = path.rpartition(".")
    try:
        return hasattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError:
        owner, _, name = module.rpartition(".")
        return bool(owner) and _imported(module) and hasattr(getattr(importlib.import_module(owner), name), attribute)


def _decorator(path: str) -> bool:
    owner, _, rest = path.partition(".")
    return hasattr(Domain, rest) if owner == "domain" else _imported(path)


def _option(decorator: str, option: str) -> bool:
    return option in get_type_hints(_OPTIONS[decorator])


def _argument(function: str, argument: str) -> bool:
    found = {"process": Domain.process, "repo.get": Repository.get}.get(function) or getattr(fields, function)
    return argument in inspect.signature(found).parameters or (
        hasattr(fields, function) and argument in get_type_hints(fields.functions.Options)
    )


def _configured(section: str, key: str) -> bool:
    model: Any = Config
    for part in [*section.split("."), key] if section else [key]:
        if part == "default":  # [databases.default]: any name
            continue
        if part not in model.model_fields:
            return False
        annotation = model.model_fields[part].annotation
        model = getattr(annotation, "__args__", (None, annotation))[-1]
    return True


_LOOKS: tuple[tuple[str, Callable[..., bool]], ...] = (
    (r"(?:stream|entry|table|log) `.*", lambda: True),  # seen by nobody but the test that proves it
    (r"protean ([a-z].*)", _command),
    (r"@domain\.(\w+)\((\w+)=…\)", _option),
    (r"@([\w.]+)", _decorator),
    (r"([\w.]+)\((\w+)=…\)", _argument),
    (r"\[([\w.]+)\] (\w+)", _configured),
    (r"__(\w+)", lambda lookup: lookup in list(Lookup)),
    (r"(protean\..*)", _imported),
    (rf"({'|'.join(_OBJECTS)})\.(.*)", _attribute),
)
