"""What is decided without a server."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from protean.adapters.embedded.kept import backoff
from protean.adapters.embedded.place import PORTS, SOCKET_PATH_LIMIT, candidates, sockets_folder


def test_sockets_are_beside_the_data_while_their_path_fits() -> None:
    home = Path("/srv/shop/.protean")

    assert sockets_folder(home, home) == home / "sockets"


def test_a_path_one_byte_too_long_moves_them_to_a_short_folder() -> None:
    fits = Path("/" + "x" * (SOCKET_PATH_LIMIT - len("//sockets/.s.PGSQL.65535")))
    too_long = fits.with_name(fits.name + "x")

    assert sockets_folder(fits, fits) == fits / "sockets"
    assert sockets_folder(too_long, too_long).parent == Path("/tmp")


def test_two_long_homes_do_not_share_sockets() -> None:
    one, other = Path("/" + "x" * 120), Path("/" + "x" * 121)

    assert sockets_folder(one, one) != sockets_folder(other, other)


def test_the_remembered_port_is_tried_first_and_then_every_other() -> None:
    tried = list(candidates("seed", 20_007))

    assert tried[0] == 20_007
    assert set(tried) == set(PORTS)


def test_projects_begin_at_different_ports() -> None:
    assert list(islice(candidates("one", None), 1)) != list(islice(candidates("other", None), 1))


def test_a_server_that_keeps_failing_is_tried_ever_less_often_but_not_never() -> None:
    assert [backoff(attempts) for attempts in (1, 2, 3, 100)] == [0.2, 0.4, 0.8, 10.0]
