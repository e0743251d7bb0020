"""The ASGI application of a role, from settings."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from ca_core.kernel.errors import ConfigurationError
from ca_core.kernel.logs import configure_logs
from ca_core.kernel.settings import Role, Settings, load_settings
from ca_core.kernel.web.assets import Assets
from ca_core.kernel.web.cookies import CookieNames
from ca_core.kernel.web.failures import Failures
from ca_core.kernel.web.hop import Hop
from ca_core.kernel.web.messages import Catalogues
from ca_core.kernel.web.pages import OWN_MESSAGES, OWN_STATIC, Pages
from ca_core.kernel.web.security import RequestId, SecurityHeaders
from ca_core.status import web as status_web
from idp.main import health
from idp.main.authority import CertificationAuthority
from idp.main.histories import verify_current
from idp.main.provider import Provider
from idp.main.worker import Job, authority_jobs, provider_jobs, run_jobs

SERVED = (Role.ALL, Role.IDP, Role.VA)
"""Roles that exist so far; the others come with their features."""


def create_app() -> ASGIApp:
    """For uvicorn's worker processes: settings from the file that CITIZENID_CONFIG names and the environment."""
    settings = load_settings()
    configure_logs(settings.log_level)
    return build_app(settings)


def build_app(settings: Settings) -> ASGIApp:
    """What this role serves. Raises: ConfigurationError, Unavailable; then nothing is served."""
    if settings.role not in SERVED:
        raise ConfigurationError(f"role: {settings.role} is not built yet; there are {', '.join(SERVED)}")
    ca = CertificationAuthority(settings)
    verify_current(ca.database)
    return validation_authority_app(ca) if settings.role is Role.VA else provider_app(ca, Provider(ca))


def provider_app(ca: CertificationAuthority, provider: Provider) -> ASGIApp:
    """The provider's endpoints and pages; in the role `all` also status and the jobs, which any process may run."""
    routes, jobs = provider.routes(), []
    if ca.settings.role is Role.ALL:
        routes += _status_routes(ca, provider.hop)
        jobs = [*authority_jobs(ca), *provider_jobs(provider)]
    checks = {"database": lambda: verify_current(ca.database), "authorities": ca.login_validator}
    return _app(ca, [*routes, *health.routes(checks, provider.hop)], provider.pages, jobs)


def validation_authority_app(ca: CertificationAuthority) -> ASGIApp:
    """OCSP, CRLs and CA certificates."""
    hop, cookies = Hop(ca.database), CookieNames(ca.settings.issuer)
    pages = Pages(Catalogues.load([OWN_MESSAGES]), [], assets=Assets([OWN_STATIC]), cookies=cookies)
    checks = {"database": lambda: verify_current(ca.database)}
    return _app(ca, [*_status_routes(ca, hop), *health.routes(checks, hop)], pages, [])


def _status_routes(ca: CertificationAuthority, hop: Hop) -> list[Route]:
    return status_web.routes(ca.ocsp, ca.crl_archive, ca.registry, hop, ca.clock)


def _app(ca: CertificationAuthority, routes: list[BaseRoute], pages: Pages, jobs: list[Job]) -> ASGIApp:
    app = Starlette(routes=routes, exception_handlers=Failures(pages).handlers(), lifespan=_lifespan(ca, jobs))
    return RequestId(SecurityHeaders(app, https=ca.settings.issuer.startswith("https:")), rng=ca.rng)


def _lifespan(ca: CertificationAuthority, jobs: list[Job]) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        working = asyncio.create_task(run_jobs(jobs))
        try:
            yield
        finally:
            working.cancel()
            with suppress(asyncio.CancelledError):
                await working
            ca.database.dispose()

    return lifespan
