"""Wires the bridge: readers, desk, window, server."""

import time
from collections.abc import Callable

from card_bridge.app import build_app
from card_bridge.clock import Clock, Monotonic, Rng, system_clock, system_rng
from card_bridge.consent.pages import ConsentPages
from card_bridge.consent.service import ConsentWindows
from card_bridge.messages.catalogue import Catalogues
from card_bridge.operations.model import Policy
from card_bridge.operations.service import OperationDesk
from card_bridge.operations.worker import CardWorker
from card_bridge.piv.ports import CardReaders
from card_bridge.readers import card_readers
from card_bridge.server.guard import LoopbackGuard
from card_bridge.server.listener import bind_loopback, serve
from card_bridge.server.statements import ProviderStatementSource, StatementSource
from card_bridge.server.web import Api
from card_bridge.settings import BridgeData
from card_bridge.statement.service import StatementVerifier


def assemble(
    data: BridgeData,
    readers: CardReaders,
    *,
    port: int,
    source: StatementSource,
    clock: Clock = system_clock,
    monotonic: Monotonic = time.monotonic,
    rng: Rng = system_rng,
    policy: Policy | None = None,
) -> LoopbackGuard:
    """The application for a port that is bound. policy: instead of what bridge.toml says."""
    policy = policy or data.settings.policy()
    worker = CardWorker(readers, reader=data.settings.reader, poll_interval_s=policy.poll_interval_s)
    desk = OperationDesk(worker.run, policy=policy, monotonic=monotonic, rng=rng)
    api = Api(
        desk=desk,
        providers=data.providers,
        verifier=StatementVerifier(clock),
        source=source,
        own_url=f"http://127.0.0.1:{port}",
    )
    return build_app(api, ConsentWindows(desk, rng), ConsentPages(Catalogues.load()), port=port)


def run_server(data: BridgeData, *, port: int | None = None, ready: Callable[[int], None]) -> None:
    """Serve on loopback until a signal. `ready` is told the port once connections are accepted.

    port: overrides bridge.toml's; 0 takes a free one. Raises: ConfigurationError.
    """
    chosen, sockets = bind_loopback(data.settings.port if port is None else port)
    app = assemble(data, card_readers(data.settings), port=chosen, source=ProviderStatementSource())
    serve(app, sockets, ready=lambda: ready(chosen))
