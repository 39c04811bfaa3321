"""The HTTP API: `uvicorn my_app.api:app --port 8000`.

Commands change aggregates; `GET` shows the projection, which the server brings up to date a moment later.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import FastAPI, HTTPException, Path, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from my_app.identity.customer import RegisterCustomer, RenameCustomer
from my_app.identity.customer_view import CustomerView
from my_app.identity.domain import identity
from protean import current_domain
from protean.exceptions import DatabaseUnavailableError, ExpectedVersionError, ObjectNotFoundError, ValidationError

Name = Annotated[str, Field(min_length=1, max_length=100)]
CustomerId = Annotated[str, Path(min_length=1, max_length=255)]


class NewCustomer(BaseModel, extra="forbid"):
    name: Name
    email: Annotated[str, Field(min_length=3, max_length=254, pattern=r"^[^@\s]+@[^@\s]+$")]
    lifetime_spend: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    customer_id: Annotated[str, Field(min_length=1, max_length=255)] | None = None


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


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    identity.init()
    yield
    identity.close()


app = FastAPI(title="Customers", lifespan=lifespan)


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


@app.exception_handler(ValidationError)
def refuse(_request: Request, error: ValidationError) -> JSONResponse:
    return JSONResponse({"detail": error.messages}, status_code=422)


@app.exception_handler(ObjectNotFoundError)
def not_found(_request: Request, error: ObjectNotFoundError) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, status_code=404)


@app.exception_handler(ExpectedVersionError)
def overtaken(_request: Request, _error: ExpectedVersionError) -> JSONResponse:
    """Somebody else (a migration, say) changed the customer between our reading and our writing."""
    return JSONResponse({"detail": "the customer was changed at the same moment; try again"}, status_code=409)


@app.exception_handler(DatabaseUnavailableError)
def unavailable(_request: Request, _error: DatabaseUnavailableError) -> JSONResponse:
    return JSONResponse({"detail": "the database does not answer; try again"}, status_code=503)
