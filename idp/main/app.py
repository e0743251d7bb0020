"""The ASGI application of a role, from settings."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from ca_core.audit import web as audit_web
from ca_core.kernel.errors import ConfigurationError
from ca_core.kernel.logs import configure_logs
from ca_core.kernel.settings import Role, Settings, load_settings
from ca_core.kernel.web.assets import Assets
from ca_core.kernel.web.connection_bounds import PROCESS
from ca_core.kernel.web.cookies import CookieNames
from ca_core.kernel.web.direct import Direct, DirectRoutes, Outermost
from ca_core.kernel.web.failures import Failures
from ca_core.kernel.web.hop import Hop
from ca_core.kernel.web.messages import Catalogues
from ca_core.kernel.web.pages import OWN_MESSAGES, OWN_STATIC, Pages
from ca_core.kernel.web.security import RequestId, SecurityHeaders
from ca_core.status import web as status_web
from ca_core.status.crl_archive import crl_overdue
from ca_core.status.ocsp_memory import OcspMemory
from ca_core.status.ocsp_web import OcspEndpoint, OcspFirst
from ca_core.timestamp import web as timestamp_web
from idp.main import health
from idp.main.authority import CertificationAuthority
from idp.main.continuity import verify_database, verify_serviceable
from idp.main.metrics import JobWatch, Metrics
from idp.main.provider import Provider
from idp.main.signer import signer_application
from idp.main.worker import (
    Job,
    authority_jobs,
    checkpoint_jobs,
    provider_jobs,
    responder_jobs,
    run_jobs,
    worker_jobs,
)

SERVED = (Role.ALL, Role.IDP, Role.VA, Role.CA, Role.WORKER)
"""Roles that exist so far; the others come with their features."""


def create_app() -> ASGIApp:
    """For uvicorn's worker processes: settings from the file that CITIZENID_CONFIG names and the environment."""
    settings = load_settings()
    configure_logs(settings.log_level)
    PROCESS.bound(settings.max_connections, settings.max_connections_per_address)
    return build_app(settings)


def build_app(settings: Settings) -> ASGIApp:
    """What this role serves. Raises: ConfigurationError, Unavailable; then nothing is served."""
    if settings.role not in SERVED:
        raise ConfigurationError(f"role: {settings.role} is not built yet; there are {', '.join(SERVED)}")
    ca = CertificationAuthority(settings)
    verify_serviceable(ca)
    if settings.role is Role.VA:
        return validation_authority_app(ca)
    if settings.role is Role.CA:
        return certification_authority_app(ca)
    if settings.role is Role.WORKER:
        return worker_app(ca)
    return provider_app(ca, Provider(ca))


def provider_app(ca: CertificationAuthority, provider: Provider) -> ASGIApp:
    """The provider's endpoints and pages; in the role `all` also status and the jobs, which any process may run."""
    routes, jobs, metrics = provider.routes(), provider_jobs(provider), Metrics(ca)
    checks: dict[str, health.Check] = {
        "database": lambda: verify_database(ca),
        "authorities": ca.login_validator,
    }
    if ca.settings.role is not Role.ALL:
        routes += health.routes(checks, metrics.text, provider.hop)
        return _app(ca, routes, provider.pages, jobs, metrics.jobs)
    checks["crl"] = lambda: crl_overdue(ca.crl_archive, ca.registry, ca.clock)
    routes += [*_status_routes(ca, provider.hop), *health.routes(checks, metrics.text, provider.hop)]
    return _with_ocsp(ca, _app(ca, routes, provider.pages, [*authority_jobs(ca), *jobs], metrics.jobs))


def validation_authority_app(ca: CertificationAuthority) -> ASGIApp:
    """OCSP, CRLs, CA certificates, time stamps, the audit log. Its own certificates come from the role `ca`."""
    hop, metrics = Hop(ca.database), Metrics(ca)
    jobs = responder_jobs(ca) if ca.settings.role is Role.VA else []
    checks: dict[str, health.Check] = {
        "database": lambda: verify_database(ca),
        "crl": lambda: crl_overdue(ca.crl_archive, ca.registry, ca.clock),
    }
    routes: list[BaseRoute] = [*_status_routes(ca, hop), *health.routes(checks, metrics.text, hop)]
    return _with_ocsp(ca, _app(ca, routes, _plain_pages(ca), jobs, metrics.jobs))


def certification_authority_app(ca: CertificationAuthority) -> ASGIApp:
    """The signer's port, and what a killed process left for it."""
    jobs = [Job(name="issuance-recovery", every_s=3_600, run=ca.issuer.recover), *checkpoint_jobs(ca)]
    metrics = Metrics(ca)
    return signer_application(ca, metrics.text, _lifespan(ca, jobs, metrics.jobs))


def worker_app(ca: CertificationAuthority) -> ASGIApp:
    """Jobs alone; what it serves is its health."""
    metrics = Metrics(ca)
    checks: dict[str, health.Check] = {"database": lambda: verify_database(ca)}
    routes = health.routes(checks, metrics.text, Hop(ca.database))
    return _app(ca, [*routes], _plain_pages(ca), worker_jobs(ca), metrics.jobs)


def _plain_pages(ca: CertificationAuthority) -> Pages:
    cookies = CookieNames(ca.settings.issuer)
    return Pages(Catalogues.load([OWN_MESSAGES]), [], assets=Assets([OWN_STATIC]), cookies=cookies)


def _status_routes(ca: CertificationAuthority, hop: Hop) -> list[Route]:
    routes = status_web.routes(ca.ocsp, ca.crl_archive, ca.registry, hop, ca.clock)
    routes += audit_web.routes(ca.published_log, ca.witnesses, hop)
    if ca.timestamp_units is not None:
        routes += timestamp_web.routes(ca.timestamp_authority(ca.timestamp_units), hop)
    return routes


def _with_ocsp(ca: CertificationAuthority, app: Outermost) -> Outermost:
    hop = Hop(ca.database)
    ca.ocsp.ask_ahead_by(hop.begin)
    first = OcspFirst(app, OcspEndpoint(ca.ocsp, hop), OcspMemory(ca.ocsp, hop))
    return Outermost(first, direct=app.direct, from_memory=first.from_memory)


def _app(
    ca: CertificationAuthority, routes: list[BaseRoute], pages: Pages, jobs: list[Job], watch: JobWatch
) -> Outermost:
    app = Starlette(routes=routes, exception_handlers=Failures(pages).handlers(), lifespan=_lifespan(ca, jobs, watch))
    app.router.redirect_slashes = False  # it would redirect to whatever Host the request named
    in_front = DirectRoutes(app, routes)
    security = SecurityHeaders(in_front, https=ca.settings.issuer.startswith("https:"))
    direct = Direct(in_front.endpoints, security=security, rng=ca.rng)
    return Outermost(RequestId(security, rng=ca.rng), direct=direct)


def _lifespan(
    ca: CertificationAuthority, jobs: list[Job], watch: JobWatch
) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        working = asyncio.create_task(run_jobs(jobs, watch))
        try:
            yield
        finally:
            working.cancel()
            with suppress(asyncio.CancelledError):
                await working
            ca.close()

    return lifespan
