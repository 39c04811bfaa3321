"""The shop as it runs: an engine, the provider's stream, and everything else a moment later."""

from __future__ import annotations

from examples.shop.tests.conftest import Store, taken, wait_for
from shop.inventory.stock import CountStock
from shop.sales import BestSellers

from protean.write.command_results import CommandState
from shop.domain import shop


def test_a_rush_of_customers_is_served_each_as_they_should_be(served: Store) -> None:
    served.stock("mug", 100, "9.50")
    served.stock("lamp", 3, "120.00")
    for number in range(12):
        card = "declined" if number % 4 == 3 else "ok"
        served.order(f"o{number}", *(("mug", "lamp") if number % 2 else ("mug",)), card=card)
    wait_for(lambda: served.ended() == 12, lambda: f"{served.ended()} of 12 have ended")
    shipped = [number for number in range(12) if served.status(f"o{number}") == "shipped"]
    lamps = [number for number in shipped if number % 2]
    assert {number % 4 for number in shipped} <= {0, 1, 2}
    assert {0, 2, 4, 6, 8, 10} <= set(shipped)
    assert 0 < len(lamps) <= 3
    assert served.shelf("mug") == (100 - len(shipped), 0)
    assert served.shelf("lamp") == (3 - len(lamps), 0)
    assert taken() == len(shipped) * 19 / 2 + len(lamps) * 120
    wait_for(lambda: sum(row.sold for row in shop.dispatch(BestSellers())) == len(shipped) + len(lamps))


def test_a_count_is_carried_out_by_the_server_and_its_result_asked_for(served: Store) -> None:
    served.stock("mug", 5)
    command_id = shop.process(CountStock(sku="mug", counted=7), asynchronous=True)
    wait_for(lambda: shop.result_of(command_id).state is CommandState.DONE)
    assert (shop.result_of(command_id).result, served.shelf("mug")) == (2, (7, 0))
