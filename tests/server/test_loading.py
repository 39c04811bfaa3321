"""What `--domain` may name, and that nothing is imported under two names by it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

#: Prints which domain was found, and the modules of the application that are loaded then.
LOAD = """
import sys
from protean.exceptions import ProteanError
from protean.server.loading import load_domain
try:
    domain = load_domain(sys.argv[1])
    domain.init()
except ProteanError as error:
    sys.exit(str(error))
print(domain.name, *sorted(name for name in sys.modules if name.endswith((".customer", ".domain", "customer"))
      and not name.startswith(("protean", "pydantic"))))
"""
FILES = {
    "shop/__init__.py": "",
    "shop/identity/__init__.py": "",
    "shop/identity/domain.py": "from protean import Domain\nidentity = Domain('identity')\n",
    "shop/identity/customer.py": """
from protean.fields import Auto
from shop.identity.domain import identity

@identity.event(part_of="Customer")
class CustomerRegistered:
    name: str

@identity.aggregate
class Customer:
    id: str = Auto(identifier=True)
""",
    "script.py": "raise SystemExit('a script was run')\n",
}
ONCE = "identity shop.identity.customer shop.identity.domain\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder that is named unlike the package in it."""
    return laid_out(tmp_path / "checkout")


def laid_out(root: Path, inner: str = "") -> Path:
    for name, text in FILES.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text.replace("from shop.", f"from {inner}." if inner else "from shop."))
    return root


def load(path: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", LOAD, path]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    "path",
    [
        ".",
        "shop",
        "./shop",
        "shop/identity",
        "shop/identity/domain.py",
        "shop.identity",
        "shop.identity.domain",
        "shop.identity.domain:identity",
        ".:identity",
        "{}",
        "{}/shop",
        "{}/shop/identity/domain.py",
    ],
)
@pytest.mark.parametrize("name", ["checkout", "shop", "release-1.0"])
def test_however_the_domain_is_named_its_modules_are_imported_once(tmp_path: Path, name: str, path: str) -> None:
    project = laid_out(tmp_path / name)

    done = load(path.format(project), project)

    if path == "shop.identity":  # a package does not show what its modules hold
        assert done.stderr.startswith("--domain=shop.identity: no Domain in shop.identity; name the module")
    else:
        assert (done.stdout, done.stderr) == (ONCE, "")


def test_the_whole_project_is_found_from_elsewhere(project: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()

    assert load(str(project), tmp_path / "elsewhere").stdout == ONCE
    assert load("../checkout", tmp_path / "elsewhere").stdout == ONCE


def test_a_folder_without_init_whose_modules_are_named_after_it_is_a_package(tmp_path: Path) -> None:
    folder = tmp_path / "src" / "my_domain"
    folder.mkdir(parents=True)
    (folder / "domain.py").write_text(FILES["shop/identity/domain.py"])
    (folder / "customer.py").write_text(FILES["shop/identity/customer.py"].replace("shop.identity", "my_domain"))

    for path in ("src/my_domain", str(folder)):
        assert load(path, tmp_path).stdout == "identity my_domain.customer my_domain.domain\n"
    assert load(".", folder).stdout == "identity my_domain.customer my_domain.domain\n"


def test_what_is_not_there_is_said_with_the_full_path_and_what_to_do(project: Path) -> None:
    hint = "run it where domain.toml is, or name the module: --domain=my_app.identity.domain\n"

    done = load("sohp.identity", project)
    assert f"there is no file, folder or module of that name in {project} or on the import path" in done.stderr
    assert done.stderr.endswith(hint)
    done = load("./sohp", project)
    assert done.stderr == f"--domain=./sohp: there is no file or folder {project}/sohp; {hint}"
    done = load("", project)
    assert done.stderr == f"--domain= names no module, file or folder; {hint}"


@pytest.mark.parametrize("path", ["shop.identity.domain", "identity.customer"])
def test_from_inside_the_package_the_folder_to_run_it_in_is_named(project: Path, path: str) -> None:
    done = load(path, project / "shop")

    assert done.stderr == (
        f"--domain={path}: `shop` cannot be imported from inside the folder shop; run it in {project}\n"
    )


def test_a_folder_in_which_nobody_makes_a_domain_is_named(tmp_path: Path) -> None:
    (tmp_path / "release-1.0").mkdir()

    done = load("release-1.0", tmp_path)

    assert f"no Domain in the modules in {tmp_path}/release-1.0; name the module" in done.stderr
