"""The application: routes, the guard before them, and every error as a problem."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from bandit.errors import InvalidInputError, StoreError
from bandit.stores import Store
from scanner_adapter.errors import InvalidNoteError
from scanner_adapter.live.notify import Notifier
from scanner_adapter.service.context import Service
from scanner_adapter.service.guard.guard import Guard
from scanner_adapter.service.guard.headers import AnswerHeaders
from scanner_adapter.service.problems import (
    DEFECT,
    INVALID,
    MALFORMED,
    METHOD,
    NOT_FOUND,
    STORE_UNREADABLE,
    Kind,
    ProblemError,
    declare_problems,
    of_store,
    problem_response,
)
from scanner_adapter.service.routes import (
    events,
    login,
    operations,
    page,
    rulesets,
    scanners,
    scans,
    steering,
)
from scanner_adapter.service.settings import ServiceSettings
from scanner_adapter.service.watching.ended import announce

log = logging.getLogger("scanrank.service")


def create_app(settings: ServiceSettings, store: Store | None = None) -> FastAPI:
    """Return the application of one server.

    Parameters
    ----------
    store : Store, optional
        One that is open already, as tests have it; by default that of the settings.
    """
    service = Service.of(settings, store)
    notifier = Notifier(settings.notify, "scanrank") if settings.notify else None

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        page_url = settings.page or f"http://{settings.host}:{settings.port}"
        if notifier is None:
            yield
        else:
            task = asyncio.create_task(announce(service.access, notifier, page_url))
            yield
            task.cancel()
            await asyncio.to_thread(notifier.close)
        await service.close()

    app = FastAPI(
        title="scanrank", version=version("scanrank"), lifespan=lifespan,
        description="What running scans find, and what operators ask of them.",
        docs_url=None, redoc_url=None,  # FastAPI's pages load scripts from other sites
        redirect_slashes=False,  # one address per thing
    )  # fmt: skip
    app.state.service = service
    describe = app.openapi
    app.openapi = lambda: declare_problems(describe())  # type: ignore[method-assign]
    for module in (events, scans, rulesets, steering, scanners, operations, login, page):
        app.include_router(module.router)
    app.mount("/static", page.static_files(), name="static")
    # The last one added is the outermost.
    app.add_middleware(
        Guard,
        host_names=settings.host_names,
        sessions=service.sessions,
        rate=service.rate,
        trusted_proxies=frozenset(settings.trusted_proxies),
    )
    app.add_middleware(AnswerHeaders, metrics=service.metrics)
    _answer_errors(app)
    return app


def _answer_errors(app: FastAPI) -> None:
    def refuse(request: Request, problem: ProblemError) -> Response:
        request.scope["scanrank.refusal"] = problem.kind.name
        return problem_response(problem.kind, problem.detail, problem.headers)

    @app.exception_handler(ProblemError)
    async def of_problem(request: Request, error: ProblemError) -> Response:
        return refuse(request, error)

    @app.exception_handler(StoreError)
    async def of_store_error(request: Request, error: StoreError) -> Response:
        return refuse(request, of_store(error))

    @app.exception_handler(InvalidNoteError)
    async def of_note(request: Request, error: InvalidNoteError) -> Response:
        return refuse(request, ProblemError(STORE_UNREADABLE, str(error)))

    @app.exception_handler(InvalidInputError)
    async def of_input(request: Request, error: InvalidInputError) -> Response:
        return refuse(request, ProblemError(INVALID, str(error)))

    @app.exception_handler(RequestValidationError)
    async def of_validation(request: Request, error: RequestValidationError) -> Response:
        return refuse(request, _invalid(error))

    @app.exception_handler(HTTPException)
    async def of_http(request: Request, error: HTTPException) -> Response:
        kinds = {400: MALFORMED, 404: NOT_FOUND, 405: METHOD}
        kind = kinds.get(error.status_code, Kind("http", error.status_code, str(error.detail)))
        detail = f"{request.method} {request.url.path[:120]!r}: {error.detail}"
        return refuse(request, ProblemError(kind, detail, error.headers))

    @app.exception_handler(Exception)
    async def of_defect(request: Request, error: Exception) -> Response:
        # The traceback goes to the log, by the server; to the caller nothing of our insides.
        detail = f"{type(error).__name__}; the log of the server has more"
        return refuse(request, ProblemError(DEFECT, detail))


def _invalid(error: RequestValidationError) -> ProblemError:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    kind = MALFORMED if first["type"] == "json_invalid" else INVALID
    # Without the value met: it may be a token.
    return ProblemError(kind, f"{where}: {first['msg']}")
