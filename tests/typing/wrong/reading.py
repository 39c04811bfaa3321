"""Mistakes in asking."""

from __future__ import annotations

from protean import Aggregate, Domain, Projection, Q, current_domain
from protean.fields import Auto, Identifier, Integer, String

domain = Domain("shop", config={})


@domain.aggregate
class Customer(Aggregate):
    id: str = Auto(identifier=True)
    name: str = String(required=True)


@domain.projection
class CustomerView(Projection):
    customer_id: str = Identifier(identifier=True)
    orders: int = Integer(default=0)


customers = domain.repository_for(Customer)
view = current_domain.view_for(CustomerView)
customers.get("1").nmae  # E: attr-defined | reportAttributeAccessIssue
customers.get()  # E: call-arg | reportCallIssue
customers.get("1", at_version="3")  # E: arg-type | reportArgumentType
customers.get_or_none("1").name  # E: union-attr | reportOptionalMemberAccess
customers.add(CustomerView(customer_id="1"))  # E: arg-type | reportArgumentType
customers.query.filter(5)  # E: arg-type | reportArgumentType
customers.query.limit("20")  # E: arg-type | reportArgumentType
customers.query.order_by(name=True)  # E: call-arg | reportCallIssue
customers.query.filter(Q(name="Ada") | "Bea")  # E: operator | reportOperatorIssue
customers.query.al()  # E: attr-defined | reportAttributeAccessIssue
customers.query.first().name  # E: union-attr | reportOptionalMemberAccess
domain.repository_for("Customer")  # E: call-overload | reportArgumentType
current_domain.repository_for(Customer).get("1").nmae  # E: attr-defined | reportAttributeAccessIssue
current_domain.repositry_for(Customer)  # E: attr-defined | reportAttributeAccessIssue
view.get("1").order  # E: attr-defined | reportAttributeAccessIssue
number: str = view.count()  # E: assignment | reportAssignmentType
domain.event_store.read(5)  # E: arg-type | reportArgumentType
domain.rebuild(CustomerView, batch="500")  # E: arg-type | reportArgumentType
