"""The guide's migration loop, one command a transaction, against the same statements by hand.

The floors, in turn with ours: psycopg as everybody writes it (three statements and a commit, each a round
trip); the same through SQLAlchemy Core; and psycopg in pipeline mode, as fast as the driver can.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import psycopg
import sqlalchemy as sa

from benchmarks import raw, seed
from benchmarks.bench import Bench
from benchmarks.figures import Figure, Result, Target, against
from benchmarks.shop.customer import Customer, UpdateCustomerTier
from benchmarks.shop.domain import shop
from protean import current_domain
from protean.priority import Priority, processing_priority

TARGET = Target("at least", 0.5, of="ratio")


def measure(bench: Bench) -> list[Result]:
    records, rounds = bench.pick(300, 2_000), bench.pick(2, 7)
    seed.customers(bench, records)
    seed.settle(bench)
    loops: dict[str, Callable[[Bench, str], int]] = {
        "raw psycopg": _psycopg,
        "ours": _ours,
        "SQLAlchemy Core": _core,
        "psycopg, pipelined": _pipelined,
    }
    for warm_up in loops.values():
        warm_up(bench, "warm")
    rates: dict[str, list[float]] = {name: [] for name in loops}
    for number in range(rounds):
        for name, loop in loops.items():
            began = time.perf_counter()
            done = loop(bench, f"{name[:4]}-{number}")
            rates[name].append(done / (time.perf_counter() - began))
    shop.close()
    raw_rates = rates["raw psycopg"]
    figures = [against("the guide's loop", rates["ours"], raw_rates, "records/s", TARGET)]
    for name in ("SQLAlchemy Core", "psycopg, pipelined"):
        value = median(rates[name])
        figures.append(
            Figure(
                name=name,
                value=value,
                unit="records/s",
                floor=median(raw_rates),
                ratio=value / median(raw_rates),
                runs=rates[name],
            )
        )
    return [Result("guide_loop", figures, [f"{rounds} rounds of {records} records each, in turn; no server running"])]


def _ours(_bench: Bench, tier: str) -> int:
    done = 0
    with shop.domain_context():
        repo = current_domain.repository_for(Customer)
        customers = repo._dao.query.all()  # noqa: SLF001  # as the guide's script does
        with processing_priority(Priority.LOW):
            for customer in customers:
                shop.process(UpdateCustomerTier(customer_id=customer.id, loyalty_tier=tier))
                done += 1
    return done


def _psycopg(bench: Bench, tier: str) -> int:
    with bench.connect() as connection:
        ids = _ids(connection)
        connection.autocommit = False
        for customer_id in ids:
            row = connection.execute(raw.READ, (customer_id,)).fetchone()
            version = row[4] if row else 0
            connection.execute(raw.CHANGE, (tier, version + 1, customer_id, version))
            connection.execute(raw.APPEND, raw.message(customer_id, tier, version + 1))
            connection.commit()
    return len(ids)


def _pipelined(bench: Bench, tier: str) -> int:
    with bench.connect() as connection:
        ids = _ids(connection)
        for customer_id in ids:
            with connection.pipeline():
                connection.execute("BEGIN")
                row = connection.execute(raw.READ, (customer_id,)).fetchone()
                version = row[4] if row else 0
                connection.execute(raw.CHANGE, (tier, version + 1, customer_id, version))
                connection.execute(raw.APPEND, raw.message(customer_id, tier, version + 1))
                connection.execute("COMMIT")
    return len(ids)


def _core(bench: Bench, tier: str) -> int:
    url = sa.make_url(bench.database_url).set(drivername="postgresql+psycopg")
    engine = sa.create_engine(url)
    customer = sa.Table("customer", sa.MetaData(), autoload_with=engine)
    read = sa.select(customer).where(customer.c.id == sa.bindparam("key"))
    change = (
        sa.update(customer)
        .where(customer.c.id == sa.bindparam("key"), customer.c._version == sa.bindparam("expected"))  # noqa: SLF001  # a column, not a member
        .values(loyalty_tier=sa.bindparam("tier"), _version=sa.bindparam("next"))
    )
    with engine.connect() as connection:
        ids = list(connection.execute(sa.select(customer.c.id)).scalars())
        connection.rollback()
        for customer_id in ids:
            version = connection.execute(read, {"key": customer_id}).mappings().one()["_version"]
            values = {"key": customer_id, "expected": version, "tier": tier, "next": version + 1}
            connection.execute(change, values)
            connection.exec_driver_sql(raw.APPEND, raw.message(customer_id, tier, version + 1))
            connection.commit()
    engine.dispose()
    return len(ids)


def _ids(connection: psycopg.Connection) -> list[str]:
    return [customer_id for (customer_id,) in connection.execute("SELECT id FROM customer ORDER BY id")]
