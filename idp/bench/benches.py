"""The benches themselves: each founds its contestants, runs them in turns, and reports."""

import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from ca_core.kernel.clock import system_clock
from ca_core.kernel.rng import system_rng
from idp.bench.browser import Browser
from idp.bench.card_login import card_login, enter
from idp.bench.model import FoundCountry, Options
from idp.bench.ocsp_bench import bench_ocsp
from idp.bench.ours import Ours, our_server
from idp.bench.relying_party import RelyingParty
from idp.bench.report import Report
from idp.bench.rounds import Contestant, Operation, run_rounds
from idp.bench.signatures import p256_floor
from idp.bench.sso_login import sso_login
from idp.bench.yardstick import Yardstick, oidc_provider

Bench = Callable[[Options, FoundCountry], Awaitable[Report]]


async def bench_sso_login(options: Options, found: FoundCountry) -> Report:
    """authorize with a live session -> code -> token -> userinfo, beside oidc-provider doing the same."""
    with tempfile.TemporaryDirectory(prefix="citizenid-yardstick-") as folder:
        async with our_server(options, found) as ours:
            contestant = Contestant(server=ours.server, persons=await _logged_in(ours))
            if not options.yardstick:
                return await _report("sso-login", options, ours, [contestant], None, signed=1, verified=0)
            with oidc_provider(Path(folder) / "log") as beside:
                persons = await _logged_in_there(beside, options.concurrency)
                contestants = [contestant, Contestant(server=beside.server, persons=persons)]
                return await _report("sso-login", options, ours, contestants, beside.name, signed=1, verified=0)


async def bench_card_login(options: Options, found: FoundCountry) -> Report:
    """A whole login with a card, beside our own sso-login on the same server.

    Signed: the statement, the ID token. Verified: the card's signature (its certificate's path is cached by the
    validator for as long as the authorities do not change, or verified as well: then the floor is that much higher).
    """
    async with our_server(options, found) as ours:
        persons = [card_login(ours.party, card, system_clock) for card in ours.country.cards]
        contestants = [Contestant(server=ours.server, persons=persons)]
        name = None
        if options.yardstick:
            contestants.append(Contestant(server=ours.server, persons=await _logged_in(ours)))
            name = "sso-login (ours)"
        return await _report("card-login", options, ours, contestants, name, signed=2, verified=1)


BENCHES: dict[str, Bench] = {"sso-login": bench_sso_login, "card-login": bench_card_login, "ocsp": bench_ocsp}


async def _report(
    bench: str,
    options: Options,
    ours: Ours,
    contestants: list[Contestant],
    yardstick: str | None,
    *,
    signed: int,
    verified: int,
) -> Report:
    await run_rounds(contestants, seconds=options.seconds, rounds=options.rounds, warm_up_s=options.warm_up_s)
    return Report(
        name=bench,
        database=ours.database,
        seconds=contestants[0].tally.seconds,
        settings={"concurrency": options.concurrency, "workers": options.workers, "rounds": options.rounds},
        ours=contestants[0].tally,
        yardstick=None if yardstick is None else (yardstick, contestants[1].tally),
        extra={"openssl_p256": p256_floor(signed=signed, verified=verified)},
    )


async def _logged_in(ours: Ours) -> list[Operation]:
    """Each citizen logged in with the card, consent given."""
    operations = []
    for card in ours.country.cards:
        browser = Browser(ours.server.origin)
        callback, attempt = await enter(ours.party, browser, card)
        await ours.party.finish(browser, attempt, callback, signature_at=system_clock)
        operations.append(sso_login(ours.party, browser, system_clock))
    return operations


async def _logged_in_there(beside: Yardstick, persons: int) -> list[Operation]:
    party = await RelyingParty.discover(beside.registration, rng=system_rng)
    operations = []
    for _ in range(persons):
        browser, attempt = Browser(beside.server.origin), party.begin()
        callback, page = await browser.follow(attempt.url, until=beside.registration.redirect_uri)
        if page is None:
            await party.finish(browser, attempt, callback, signature_at=system_clock)
        operations.append(sso_login(party, browser, system_clock))
    return operations
