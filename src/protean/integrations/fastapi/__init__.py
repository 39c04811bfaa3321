"""A domain behind FastAPI or Starlette: its context around every request, its errors as problems, its health."""

from __future__ import annotations

from protean.exceptions import ConfigurationError

try:
    import fastapi  # noqa: F401  # only whether it is there
except ModuleNotFoundError as error:
    raise ConfigurationError(f"{error.name} is not installed; pip install 'protean[fastapi]'") from error

from protean.integrations.fastapi.handlers import register_exception_handlers
from protean.integrations.fastapi.health import create_health_router
from protean.integrations.fastapi.idempotency import IdempotencyKey, RequiredIdempotencyKey
from protean.integrations.fastapi.middleware import DomainContextMiddleware
from protean.integrations.fastapi.problems import PROBLEM_RESPONSES
from protean.integrations.fastapi.running import dispatch, process, run_in_domain
from protean.write.context import current_correlation_id

__all__ = [
    "PROBLEM_RESPONSES",
    "DomainContextMiddleware",
    "IdempotencyKey",
    "RequiredIdempotencyKey",
    "create_health_router",
    "current_correlation_id",
    "dispatch",
    "process",
    "register_exception_handlers",
    "run_in_domain",
]
