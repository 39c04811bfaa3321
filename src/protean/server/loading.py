"""Finding the domain that a path on the command line means: a module, a file, a folder, or `module:attribute`."""

from __future__ import annotations

import ast
import importlib
import os
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from protean.domain import Domain
from protean.exceptions import ConfigurationError

#: Ends every complaint that nothing was found.
_HINT = "run it where domain.toml is, or name the module: --domain=my_app.identity.domain"
#: Folders in which nobody's domain is, and much else.
_FOREIGN = frozenset({"__pycache__", "node_modules", "site-packages", "tests"})


def load_domain(path: str) -> Domain:
    """The domain at `path`, not yet initialised. Raises ConfigurationError saying what was looked for where."""
    where, _, attribute = path.partition(":")
    if not where:
        raise ConfigurationError(f"--domain={path} names no module, file or folder; {_HINT}")
    sys.path.insert(0, str(Path.cwd()))
    modules = _modules_of(where, path)
    if attribute:
        return _attribute(modules, attribute, path)
    found: dict[int, tuple[str, Domain]] = {}
    for module in modules:
        for name, value in vars(module).items():
            if isinstance(value, Domain):
                found.setdefault(id(value), (f"{module.__name__}:{name}", value))
    if len(found) == 1:
        return next(iter(found.values()))[1]
    if not found:
        looked = ", ".join(module.__name__ for module in modules) or f"the modules in {Path(where).resolve()}"
        raise ConfigurationError(
            f"--domain={path}: no Domain in {looked}; "
            "name the module that makes it, as in --domain=my_app.identity.domain:identity"
        )
    names = ", ".join(sorted(name for name, _ in found.values()))
    raise ConfigurationError(f"--domain={path}: several domains ({names}); name one of them as module:attribute")


def _modules_of(where: str, given: str) -> list[ModuleType]:
    file = Path(where)
    if file.is_dir():
        return _modules_of_folder(file.resolve(), given)
    if file.exists():
        return [_module_of_file(file.resolve(), given)]
    if where.startswith(".") or os.sep in where:
        raise ConfigurationError(f"--domain={given}: there is no file or folder {file.absolute()}; {_HINT}")
    return [_imported(where, given)]


def _module_of_file(path: Path, given: str) -> ModuleType:
    if path.suffix != ".py":
        raise ConfigurationError(f"--domain={given}: {path.name} is not a Python file")
    root, names = _package_of(path.parent)
    sys.path.insert(0, str(root))
    return _imported(".".join(names if path.stem == "__init__" else [*names, path.stem]), given)


def _modules_of_folder(folder: Path, given: str) -> list[ModuleType]:
    """Of a package, itself and what is in it; of a folder that packages are imported from, what makes a domain."""
    root, names = _package_of(folder)
    if not names and _is_root(folder):
        sys.path.insert(0, str(folder))
        return [_imported(name, given) for name in _names_likely(folder)]
    if not names:  # a folder without __init__.py is a package all the same
        root, names = folder.parent, [folder.name]
    sys.path.insert(0, str(root))
    module = _imported(".".join(names), given)
    inner = [found.name for found in pkgutil.walk_packages(module.__path__, f"{module.__name__}.")]
    likely = [name for name in inner if name.rpartition(".")[2] == "domain"] or inner
    return [module, *(_imported(name, given) for name in likely if not name.endswith("__main__"))]


def _package_of(folder: Path) -> tuple[Path, list[str]]:
    """The folder that the package at `folder` is imported from, and its name in parts: none if it is no package."""
    names: list[str] = []
    while (folder / "__init__.py").exists():
        names.insert(0, folder.name)
        folder = folder.parent
    return folder, names


def _is_root(folder: Path) -> bool:
    """Whether a folder without `__init__.py` is where imports start, and not itself a package.

    Taken for the wrong one, modules would be imported twice, under two names. How they import each other tells:
    `from my_app.identity import …` is of a package in this folder, or of a folder called `my_app`.
    """
    if not folder.name.isidentifier():
        return True
    imports = {name for file in _sources(folder) for name in _imports_of(file)}
    inside = {name for name in imports if name[0] == folder.name and len(name) > 1 and _exists(folder, name[1:])}
    return not inside and any(_exists(folder, name) for name in imports if name[0] not in sys.stdlib_module_names)


def _exists(folder: Path, name: tuple[str, ...]) -> bool:
    place = folder.joinpath(*name)
    return place.is_dir() or place.with_suffix(".py").is_file()


def _names_likely(folder: Path) -> list[str]:
    """The modules under a folder called `domain`; without any, those that seem to make one. Others may be scripts."""
    files = list(_sources(folder))
    likely = [file for file in files if file.stem == "domain"]
    likely = likely or [file for file in files if "Domain(" in file.read_text(encoding="utf-8", errors="replace")]
    return [".".join(file.relative_to(folder).with_suffix("").parts).removesuffix(".__init__") for file in likely]


def _sources(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name.isidentifier() and name not in _FOREIGN)
        yield from (Path(place, name) for name in sorted(files) if name.endswith(".py"))


def _imports_of(file: Path) -> Iterator[tuple[str, ...]]:
    """The modules a file imports by their full names, in parts. None of a file that does not parse: importing tells."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield tuple(node.module.split("."))


def _imported(name: str, given: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        for folder in (Path.cwd(), *Path.cwd().parents):
            if missing and folder.name == missing.partition(".")[0] and _may_be_a_package(folder):
                raise ConfigurationError(
                    f"--domain={given}: `{missing}` cannot be imported from inside the folder {folder.name}; "
                    f"run it in {folder.parent}"
                ) from None
        if not missing or not f"{name}.".startswith(f"{missing}."):
            raise  # the module is there, something that it imports is not
        raise ConfigurationError(
            f"--domain={given}: there is no file, folder or module of that name in {Path.cwd()} or on the "
            f"import path ({error}); {_HINT}"
        ) from None


def _may_be_a_package(folder: Path) -> bool:
    return folder == Path.cwd() or (folder / "__init__.py").exists()


def _attribute(modules: list[ModuleType], attribute: str, given: str) -> Domain:
    values = [getattr(module, attribute) for module in modules if hasattr(module, attribute)]
    domains = [value for value in values if isinstance(value, Domain)]
    if domains:
        return domains[0]
    what = f"is {values[0]!r:.60}, not a Domain" if values else "does not exist"
    looked = ", ".join(module.__name__ for module in modules)
    raise ConfigurationError(f"--domain={given}: `{attribute}` in {looked} {what}")
