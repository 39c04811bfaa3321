"""`protean shell`: Python inside the domain."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.cli.conftest import Shop
from tests.cli.test_db import on_terminal

#: In place of the real one, which is nobody's dependency: says how it was called, and runs a statement.
IPYTHON = """
def start_ipython(argv, user_ns):
    print("IPython got", argv)
    exec("print(repo(Customer).query.count(), 'customers')", user_ns)
"""


@pytest.mark.proves("protean shell")
def test_a_statement_runs_inside_the_domain_and_its_value_is_printed(shop: Shop) -> None:
    (customer,) = shop.register("Ada")

    named = shop.protean("shell", "-c", f"repo(Customer).get('{customer}').name")
    assert (named.returncode, named.stdout) == (0, "'Ada'\n")

    renamed = f"domain.process(RenameCustomer(customer_id='{customer}', name='Eve'), priority=Priority.LOW)"
    assert shop.protean("shell", "-c", renamed).stdout == ""
    found = shop.protean("shell", "-c", "for each in repo(Customer).find(Q(name='Eve')): print(each.name)")
    assert (found.returncode, found.stdout) == (0, "Eve\n")


def test_a_failing_statement_is_one_line_and_exit_code_1(shop: Shop) -> None:
    done = shop.protean("shell", "-c", "repo(Customer).get('nobody')")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Error: there is no Customer with identity 'nobody'\n"
    assert "Traceback" in shop.protean("shell", "--debug", "-c", "1 / 0").stderr


def test_a_script_is_read_from_standard_input(shop: Shop) -> None:
    script = "def greet():\n    return current_domain.name\n\nprint('in', greet())\n"

    done = subprocess.run(
        shop.command("shell"), cwd=shop.folder, env=shop.env, input=script, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout) == (0, "in identity\n"), done.stderr


def test_on_a_terminal_it_names_what_is_there_and_answers(shop: Shop) -> None:
    code, shown = on_terminal(shop, "6 * 7\ndomain.nonsense\nexit()\n", "shell", "--plain")

    assert code == 0
    assert "The domain identity (default: postgresql)" in shown
    assert "CustomerView" in shown
    assert "42" in shown
    assert "AttributeError" in shown


def test_ipython_is_used_where_it_is_installed(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "IPython.py").write_text(IPYTHON)
    shop.env["PYTHONPATH"] = str(tmp_path)
    shop.register("Ada", "Bob")

    code, shown = on_terminal(shop, "", "shell")

    assert code == 0
    assert "IPython got ['--no-banner']" in shown
    assert "2 customers" in shown
