"""The HTTP API: `uvicorn my_app.api:app --port 8000`.

Commands change aggregates; `GET` shows the projection, which the server brings up to date a moment later.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import FastAPI, HTTPException, Path, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, StringConstraints
from starlette.exceptions import HTTPException as StarletteHTTPException

from my_app.identity.customer import RegisterCustomer, RenameCustomer
from my_app.identity.customer_view import CustomerView
from my_app.identity.domain import identity
from protean import current_domain
from protean.exceptions import DatabaseUnavailableError, ExpectedVersionError, ObjectNotFoundError, ValidationError

#: What can stand in a path as it is: what is registered must be readable at /customers/{customer_id}.
READABLE = r"^[A-Za-z0-9_-][A-Za-z0-9._~-]*$"

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
CustomerId = Annotated[str, Path(max_length=255, pattern=READABLE)]


class NewCustomer(BaseModel, extra="forbid"):
    name: Name
    email: Annotated[str, Field(min_length=3, max_length=254, pattern=r"^[^@\s]+@[^@\s]+$")]
    lifetime_spend: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    customer_id: Annotated[str, Field(max_length=255, pattern=READABLE)] | None = None


class NewName(BaseModel, extra="forbid"):
    name: Name


class Registered(BaseModel):
    customer_id: str


class ShownCustomer(BaseModel):
    customer_id: str
    name: str
    email: str
    lifetime_spend: float
    loyalty_tier: str | None


class Problem(BaseModel):
    """`field` is None where no single field is to blame."""

    field: str | None
    problem: str


class Refusal(BaseModel):
    """The body of every answer that is not a success."""

    detail: list[Problem]


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    identity.init()
    yield
    identity.close()


app = FastAPI(title="Customers", lifespan=lifespan, responses={"4XX": {"model": Refusal}, 503: {"model": Refusal}})


# The endpoints are plain functions: each runs on a worker thread, so that waiting for the database holds up
# nobody else.


@app.post("/customers", status_code=201)
def register(customer: NewCustomer) -> Registered:
    command = RegisterCustomer(**customer.model_dump())
    return Registered(customer_id=identity.process(command))


@app.patch("/customers/{customer_id}", status_code=204)
def rename(customer_id: CustomerId, change: NewName) -> None:
    identity.process(RenameCustomer(customer_id=customer_id, name=change.name))


@app.get("/customers/{customer_id}")
def show(customer_id: CustomerId) -> ShownCustomer:
    with identity.domain_context():
        view = current_domain.repository_for(CustomerView).get_or_none(customer_id)
    if view is None:
        raise HTTPException(404, f"there is no customer {customer_id!r}; one just registered appears in a moment")
    return ShownCustomer.model_validate(view, from_attributes=True)


@app.exception_handler(RequestValidationError)
def malformed(_request: Request, error: RequestValidationError) -> JSONResponse:
    """Without what was sent, as FastAPI's own answer has it: NaN and lone surrogates cannot be sent back."""
    problems = []
    for each in error.errors():
        where = [] if each["type"] == "json_invalid" else each["loc"][1:]
        problems.append((".".join(str(part) for part in where) or None, each["msg"]))
    return refusal(422, problems)


@app.exception_handler(ValidationError)
def refuse(_request: Request, error: ValidationError) -> JSONResponse:
    """The domain's refusal, in the API's words: the aggregate's `id` is called `customer_id` here."""
    named = {"id": "customer_id", "_entity": None}
    return refusal(422, [(named.get(field, field), text) for field, texts in error.messages.items() for text in texts])


@app.exception_handler(StarletteHTTPException)
def not_served(_request: Request, error: StarletteHTTPException) -> JSONResponse:
    """Our own 404, an unknown path, a method that is not there, a body that nobody can read."""
    return refusal(error.status_code, [(None, str(error.detail))], error.headers)


@app.exception_handler(ObjectNotFoundError)
def not_found(_request: Request, error: ObjectNotFoundError) -> JSONResponse:
    return refusal(404, [(None, str(error))])


@app.exception_handler(ExpectedVersionError)
def overtaken(_request: Request, _error: ExpectedVersionError) -> JSONResponse:
    """Somebody else (a migration, say) changed the customer between our reading and our writing."""
    return refusal(409, [(None, "the customer was changed at the same moment; try again")])


@app.exception_handler(DatabaseUnavailableError)
def unavailable(_request: Request, _error: DatabaseUnavailableError) -> JSONResponse:
    return refusal(503, [(None, "the database does not answer; try again")])


def refusal(
    status: int, problems: Iterable[tuple[str | None, str]], headers: Mapping[str, str] | None = None
) -> JSONResponse:
    detail = [Problem(field=field, problem=text) for field, text in problems]
    return JSONResponse(Refusal(detail=detail).model_dump(), status, headers)
