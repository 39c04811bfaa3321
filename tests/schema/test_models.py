"""Tables that are not what the fields say, on every database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from protean import Aggregate, Column, Domain, Entity, Event, Index, Projection, Repository, UnitOfWork, Value, on
from protean.adapters.sql.database import SqlDatabase
from protean.exceptions import ConfigurationError, InvalidOperationError, TakenError, ValidationError
from protean.fields import Auto, HasMany, Identifier, Integer, String, ValueObject
from protean.fields import Decimal as DecimalField
from protean.ports.query import Query

ID = "8f14e45f-ceea-467f-a0d9-1c2b3a4d5e6f"


@dataclass
class Crm:
    domain: Domain
    Customer: Any
    Phone: Any
    View: Any
    Money: Any

    @property
    def customers(self) -> Any:
        return self.domain.repository_for(self.Customer)

    def customer(self, identity: str = ID, **values: Any) -> Any:
        return self.Customer(**{"id": identity, "email": "Ada@x.org", "shop": "s", "number": 1, **values})

    def rows(self, name: str) -> list[dict[str, Any]]:
        table = next(each for each in self.domain.tables["default"] if each.name == name)
        transaction = self.domain.database().transaction()
        try:
            return [dict(row) for row in transaction.rows.select(Query(), table)]
        finally:
            transaction.rollback()


@pytest.fixture
def crm(stored: dict[str, Any]) -> Iterator[Crm]:
    domain = Domain("crm", config={**stored, "event_processing": "sync"})

    @domain.value_object
    class Money(Value):
        amount: Decimal = DecimalField(required=True)
        currency: str = String(default="EUR")

    @domain.aggregate(indexes=[Index("shop", "number", unique=True)])
    class Customer(Aggregate):
        email: str = String(max_length=100, required=True, unique=True)
        shop: str = String(required=True)
        number: int = Integer(required=True)
        credit: Money | None = ValueObject(Money, default=None)
        phones = HasMany("Phone")

    @domain.entity(part_of=Customer)
    class Phone(Entity):
        digits: str = String(required=True)

    @domain.event(part_of=Customer)
    class Registered(Event):
        customer_id: str
        email: str

    @domain.projection
    class View(Projection):
        customer_id: str = Identifier(identifier=True)
        email: str

    @domain.projector(projector_for=View, aggregates=[Customer])
    class Projector:
        @on(Registered)
        def registered(self, event: Registered) -> None:
            domain.repository_for(View).add(View(customer_id=event.customer_id, email=event.email))

    @domain.database_model(
        part_of=Customer, schema_name="crm_customers", indexes=["region", Index("shop", "email_key", unique=True)]
    )
    class CustomerTable:
        id = Column(type="uuid")
        email = Column("E-Mail", type="varchar(320)")
        shop = Column("shop_code")
        number = Column("no", type="smallint")
        credit_amount = Column("credit", type="numeric(8, 2)")
        email_key = String(max_length=320, referenced_as="email_folded")
        region = String(max_length=2, default="EU")

        def fill(self, customer: Customer) -> dict[str, Any]:
            return {"email_key": customer.email.lower()}

    @domain.database_model(part_of="Phone", schema_name="crm_phones")
    class PhoneTable:
        digits = Column("number")
        checked = Integer(required=True, default=0)

    @domain.database_model(part_of=View)
    class ViewTable:
        customer_id = Column("id", type="uuid")
        domain_name = String()

        @staticmethod
        def fill(view: View) -> dict[str, Any]:
            return {"domain_name": view.email.partition("@")[2]}

    domain.init()
    with domain.domain_context():
        yield Crm(domain, Customer, Phone, View, Money)
    domain.close()


@pytest.mark.proves("@domain.database_model", "protean.Column")
def test_an_object_is_kept_as_its_model_says_and_comes_back_as_it_was(crm: Crm) -> None:
    customer = crm.customer(credit=crm.Money(amount=Decimal("12.50")), phones=[crm.Phone(digits="112")])
    crm.customers.add(customer)

    (row,) = crm.rows("crm_customers")
    assert row == {
        "id": ID,
        "E-Mail": "Ada@x.org",
        "shop_code": "s",
        "no": 1,
        "credit": Decimal("12.50"),
        "credit_currency": "EUR",
        "_version": 0,
        "email_folded": "ada@x.org",
        "region": "EU",
    }
    (phone,) = crm.rows("crm_phones")
    assert (phone["number"], phone["customer_id"], phone["checked"]) == ("112", ID, 0)
    again = crm.customers.get(ID)
    assert (again.email, again.number, again.credit, again.phones[0].digits) == (
        "Ada@x.org",
        1,
        crm.Money(amount=Decimal("12.50")),
        "112",
    )


def test_queries_go_by_fields_and_by_extra_columns(crm: Crm) -> None:
    with UnitOfWork():
        for number in range(12):  # enough for one statement of many rows
            crm.customers.add(
                crm.customer(f"8f14e45f-ceea-467f-a0d9-{number:012}", email=f"A{number}@x", number=number)
            )

    query = crm.customers.query
    assert [customer.number for customer in query.filter(email_key="a3@x")] == [3]
    assert [customer.number for customer in query.filter(shop="s", number__gte=10).order_by("-number")] == [11, 10]
    assert [customer.number for customer in query.filter(id__in=[f"8f14e45f-ceea-467f-a0d9-{7:012}"])] == [7]
    assert query.filter(number__lt=2).update(region="US") == 2
    assert crm.customers.exists(region="US")
    assert len(list(query.iterator(page=5))) == 12


def test_a_change_refills_what_is_derived_and_leaves_what_others_keep_there(crm: Crm) -> None:
    crm.customers.add(crm.customer())
    crm.customers.query.filter(id=ID).update(region="US")

    with UnitOfWork():
        customer = crm.customers.get(ID)
        customer.email = "Eve@x.org"
        customer.phones.append(crm.Phone(digits="110"))
    with UnitOfWork():
        customer = crm.customers.get(ID)
        customer.phones[0].digits = "911"
    (row,) = crm.rows("crm_customers")
    assert (row["E-Mail"], row["email_folded"], row["region"], row["_version"]) == ("Eve@x.org", "eve@x.org", "US", 2)

    crm.customers.remove(crm.customers.get(ID))
    assert crm.rows("crm_customers") == crm.rows("crm_phones") == []


@pytest.mark.parametrize(
    ("values", "messages"),
    [
        ({"email": "Ada@x.org", "shop": "t"}, {"email": ["is already taken"]}),
        (
            {"email": "b@x", "number": 1},
            {
                "shop": ["is already taken together with number"],
                "number": ["is already taken together with shop"],
            },
        ),
        (
            {"email": "ADA@X.ORG"},
            {
                "shop": ["is already taken together with email_key"],
                "email_key": ["is already taken together with shop"],
            },
        ),
    ],
)
def test_what_is_taken_is_named_by_field(crm: Crm, values: dict[str, Any], messages: dict[str, list[str]]) -> None:
    crm.customers.add(crm.customer())
    other = crm.customer("8f14e45f-ceea-467f-a0d9-000000000000", **{"number": 2, **values})
    with pytest.raises(TakenError) as caught:
        crm.customers.add(other)
    assert caught.value.messages == messages


@pytest.mark.parametrize(
    ("values", "column", "complaint"),
    [
        ({"number": 40_000}, "no", "does not fit into smallint"),
        ({"identity": "ada"}, "id", "is no UUID"),
    ],
)
def test_every_database_refuses_what_one_of_them_could_not_keep(
    crm: Crm, values: dict[str, Any], column: str, complaint: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        crm.customers.add(crm.customer(**values))
    assert complaint in caught.value.messages[column][0]


@pytest.mark.parametrize(
    ("amount", "complaint"), [("0.001", "more than 2 decimal places"), ("1000000", "more than 6 digits before")]
)
def test_a_decimal_is_never_rounded_on_its_way_into_a_table(crm: Crm, amount: str, complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        crm.customers.add(crm.customer(credit=crm.Money(amount=Decimal(amount))))


def test_a_projection_is_kept_so_and_rebuilt_so(crm: Crm) -> None:
    customer = crm.customer()
    event: Any = crm.domain.registry.message_type("Registered")
    customer.raise_(event(customer_id=ID, email="ada@x.org"))
    crm.customers.add(customer)
    wanted = [{"id": ID, "email": "ada@x.org", "domain_name": "x.org"}]
    assert crm.rows("view") == wanted

    crm.domain.rebuild(crm.View)

    assert crm.rows("view") == wanted
    assert crm.domain.view_for(crm.View).query.filter(domain_name="x.org").count() == 1


def test_setup_finds_nothing_to_complain_about_in_the_tables_it_made(crm: Crm) -> None:
    database = crm.domain.database()
    if isinstance(database, SqlDatabase):
        tables = crm.domain.tables["default"]
        assert (database.missing(tables), database.lacking(tables), database.differing(tables)) == ([], [], [])


def declared(model: Callable[[Domain, type], object]) -> Domain:
    domain = Domain("shop", config={})

    @domain.aggregate
    class Order(Aggregate):
        note: str = String(max_length=50)
        number: int = Integer()

    model(domain, Order)
    return domain


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ({"nots": Column("n")}, "no field of that name, did you mean `note`"),
        ({"note": String()}, "say how it is kept with Column"),
        ({"note": Column(type="varchar(20)")}, "too short for texts of 50 characters"),
        ({"note": Column(type="citext")}, r"may be kept in text, varchar\(n\), uuid"),
        ({"number": Column(type="numeric(1, 2)")}, "may be kept in smallint, integer, bigint"),
        ({"note": Column("number")}, "two columns would be called 'number'"),
        ({"extra": String(), "fill": 5}, "`fill` of Model is the method"),
        ({"fill": lambda self, order: {}}, "there are none"),
        ({"extra": String(required=True)}, "nobody gives it a value"),
        ({"extra": Auto(identifier=True)}, "identifies nothing"),
    ],
)
def test_a_model_that_cannot_be_is_refused_with_the_way_out(body: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        declared(lambda domain, order: domain.database_model(part_of=order)(type("Model", (), body))).init()


def test_two_models_of_one_class_are_refused() -> None:
    def two(domain: Domain, order: type) -> None:
        domain.database_model(part_of=order)(type("One", (), {}))
        domain.database_model(part_of=order)(type("Two", (), {}))

    with pytest.raises(ConfigurationError, match="Order has two database models, One and Two"):
        declared(two).init()


def test_a_model_of_what_has_no_table_is_refused() -> None:
    domain = Domain("shop", config={})

    @domain.aggregate(event_sourced=True)
    class Account(Aggregate):
        pass

    domain.database_model(part_of=Account)(type("Model", (), {}))
    with pytest.raises(ConfigurationError, match="event sourced and has no table"):
        domain.init()


def test_a_value_for_no_extra_column_is_refused(stored: dict[str, Any]) -> None:
    body = {"extra": String(), "fill": lambda self, order: {"extr": "x"}}
    domain = declared(lambda domain, order: domain.database_model(part_of=order)(type("Model", (), body)))
    domain.init()
    order: Any = domain.registry.aggregates[0]
    with domain.domain_context(), pytest.raises(InvalidOperationError, match="'extr', which is no extra column"):
        domain.repository_for(order).add(order(note="n"))


@pytest.mark.proves("protean.Repository")
def test_a_repository_has_queries_of_its_own(stored: dict[str, Any]) -> None:
    domain = Domain("shop", config=stored)

    @domain.aggregate
    class Book(Aggregate):
        id: str = Identifier(identifier=True)
        title: str = String(required=True)
        pages: int = Integer(default=0)

    @domain.repository(part_of=Book)
    class Books(Repository[Book]):
        def longest(self) -> Book | None:
            return self.query.order_by("-pages").first()

        def thick(self, least: int) -> list[Book]:
            return list(self.find(pages__gte=least).order_by("title"))

        def retitle(self, old: str, new: str) -> int:
            return self.query.filter(title=old).update(title=new)

    domain.init()
    with domain.domain_context():
        books = domain.repository_for(Books)
        assert type(domain.repository_for(Book)) is type(books) is Books
        with UnitOfWork():
            for title, pages in (("b", 900), ("a", 800), ("c", 10)):
                books.add(Book(id=title, title=title, pages=pages))
            assert books.longest() == books.get("b"), "its queries see what the unit of work has pending"
        assert [book.title for book in books.thick(500)] == ["a", "b"]
        assert books.retitle("c", "d") == 1
        assert books.find_by(title="d").pages == 10
    domain.close()


def test_a_repository_that_is_none_is_refused() -> None:
    def plain(domain: Domain, order: type) -> None:
        domain.repository(part_of=order)(type("Orders", (), {}))

    with pytest.raises(ConfigurationError, match=r"write class Orders\(Repository\[Order\]\)"):
        declared(plain).init()


def test_a_repository_of_an_entity_is_refused() -> None:
    domain = Domain("shop", config={})

    @domain.aggregate
    class Order(Aggregate):
        lines = HasMany("Line")

    @domain.entity(part_of=Order)
    class Line(Entity):
        sku: str

    domain.repository(part_of=Line)(type("Lines", (Repository,), {}))
    with pytest.raises(ConfigurationError, match="loaded and saved with the aggregate"):
        domain.init()
