"""Asking: repositories, queries, views, the log."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any, assert_type

from protean import Aggregate, Domain, Projection, Q, Query, current_domain, read
from protean.fields import Auto, Identifier, Integer, String
from protean.message import Message
from protean.write.query import QuerySet, ResultSet
from protean.write.repository import Repository
from protean.write.view import View

domain = Domain("shop", config={})


@domain.aggregate
class Customer(Aggregate):
    id: str = Auto(identifier=True)
    name: str = String(required=True)


@domain.repository(part_of=Customer)
class Customers(Repository[Customer]):
    def named(self, name: str) -> QuerySet[Customer]:
        return self.query.filter(name=name)


@domain.projection
class CustomerView(Projection):
    customer_id: str = Identifier(identifier=True)
    orders: int = Integer(default=0)


@domain.query(part_of=CustomerView)
class FrequentCustomers(Query):
    least: int = 3


@domain.query_handler(part_of=CustomerView)
class CustomerQueries:
    @read(FrequentCustomers)
    def frequent(self, query: FrequentCustomers) -> list[CustomerView]:
        return list(current_domain.view_for(CustomerView).find(orders__gte=query.least))


customers = domain.repository_for(Customer)
assert_type(customers, Repository[Customer])
assert_type(current_domain.repository_for(Customer), Repository[Customer])
assert_type(customers.get("1"), Customer)
assert_type(customers.get("1", as_of=dt.datetime.now(dt.UTC)), Customer)
assert_type(customers.get_or_none("1"), Customer | None)
assert_type(customers.find_by(name="Ada").name, str)
assert_type(customers.exists(name="Ada"), bool)
found = customers.query.filter(Q(name="Ada") | ~Q(name__startswith="B")).exclude(name="").order_by("-name").limit(20)
assert_type(found, QuerySet[Customer])
assert_type(found.all(), ResultSet[Customer])
assert_type(found.all().items, list[Customer])
assert_type(found.all().first, Customer | None)
assert_type(found.first(), Customer | None)
assert_type(found.count(), int)
assert_type(found.iterator(), Iterator[Customer])
assert_type(found.update(name="Bea"), int)
for customer in found:
    assert_type(customer, Customer)

view = domain.view_for(CustomerView)
assert_type(view, View[CustomerView])
assert_type(view.get("1").orders, int)
assert_type(view.find(orders__gte=3).first(), CustomerView | None)
assert_type(current_domain.view_for(CustomerView).count(orders=0), int)
assert_type(CustomerQueries().frequent(FrequentCustomers()), list[CustomerView])
assert_type(Customers(domain, Customer).named("Ada").only(), Customer)
answer: Any = domain.dispatch(FrequentCustomers(least=10))
assert_type(domain.event_store.read("customer-1"), list[Message])
assert_type(current_domain.event_store.last("customer-1"), Message | None)
print(domain.rebuild(CustomerView, progress=lambda progress: print(progress.rate)).messages)
