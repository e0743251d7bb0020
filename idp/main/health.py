"""/healthz, /readyz and /metrics: alive; able to serve, each dependency named; Prometheus."""

from collections.abc import Callable, Mapping

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from ca_core.kernel.errors import DomainError
from ca_core.kernel.web.hop import Hop
from ca_core.kernel.web.responses import NO_STORE

Check = Callable[[], object]


def routes(checks: Mapping[str, Check], metrics_text: Callable[[], bytes], hop: Hop) -> list[Route]:
    """checks: by the dependency's name; one that raises a DomainError is not ready.
    metrics_text: in Prometheus's format.
    """

    def states() -> dict[str, str]:
        found = {}
        for name, check in checks.items():
            try:
                check()
                found[name] = "ok"
            except DomainError as error:
                found[name] = error.code
        return found

    async def healthz(_request: Request) -> Response:
        return PlainTextResponse("ok\n", headers=NO_STORE)

    async def readyz(_request: Request) -> Response:
        found = await hop(states)
        ready = all(state == "ok" for state in found.values())
        return JSONResponse({"ready": ready, **found}, status_code=200 if ready else 503, headers=NO_STORE)

    async def metrics(_request: Request) -> Response:
        return Response(await hop(metrics_text), media_type=CONTENT_TYPE_LATEST, headers=NO_STORE)

    return [
        Route("/healthz", healthz, methods=["GET"]),
        Route("/readyz", readyz, methods=["GET"]),
        Route("/metrics", metrics, methods=["GET"]),
    ]
