"""`citizenid bench issue`: request to recorded certificate, audit on, beside the raw signatures of the same key."""

import gc
import itertools
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import Encoding

from ca_core.audit import AuditLog
from ca_core.authorities import AuthorityRegistry
from ca_core.authorities.ceremony import run_ceremony
from ca_core.authorities.ceremony_file import parse_ceremony
from ca_core.issuance import IssuanceRequest, IssuanceService
from ca_core.issuance.authority_issuer import AuthorityIssuer
from ca_core.issuance.lint import Linter, pkilint_validators
from ca_core.issuance.model import IssuedCertificate, LintMode
from ca_core.issuance.service import BATCH
from ca_core.kernel.clock import system_clock
from ca_core.kernel.database import Database, sqlite_url
from ca_core.kernel.rng import system_rng
from ca_core.keys.model import PrivateKey
from ca_core.keys.pkcs11 import Pkcs11KeyStore
from ca_core.profiles import load_profiles
from ca_core.schema import metadata
from idp.bench.errors import BenchFailed
from idp.bench.postgresql import postgresql
from idp.bench.report import commit, machine

PROFILE = "citizen-authentication"
AUTHORITY = "bench-citizen-g1"
_PIN, _SO_PIN, _TOKEN = "246810", "135791", "citizenid-bench"
_MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
)
_CEREMONY = """
title = "Bench"
location = "Bench"
publication_url = "http://pki.example.tw/pki"
participants = [{{ name = "Bench", role = "bench" }}]
[[authorities]]
slug = "bench-root-g1"
profile = "root-ca"
issuer = "self"
key_algorithm = "p384"
subject = [{{ type = "C", value = "TW" }}, {{ type = "O", value = "行政院" }}, {{ type = "CN", value = "Bench Root" }}]
issues = ["issuing-ca", "ocsp-responder"]
[[authorities]]
slug = "{authority}"
profile = "issuing-ca"
issuer = "bench-root-g1"
key_algorithm = "{algorithm}"
subject = [{{ type = "C", value = "TW" }}, {{ type = "O", value = "行政院" }}, {{ type = "OU", value = "Bench" }}]
issues = ["{profile}"]
"""


class Key(StrEnum):
    """The issuing authority's key."""

    RSA_4096 = "rsa4096"
    P_256 = "p256"
    P_384 = "p384"


@dataclass(slots=True)
class _Measured:
    """Turns of one contestant."""

    operations: int = 0
    seconds: float = 0.0
    cpu_s: float = 0.0
    call_ms: list[float] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        return self.operations / self.seconds if self.seconds else 0.0

    @property
    def cpu_ms(self) -> float:
        """A single operation's."""
        return self.cpu_s * 1000 / max(self.operations, 1)

    def wire(self, name: str) -> dict[str, Any]:
        return {
            "name": name,
            "operations": self.operations,
            "per_second": round(self.per_second, 1),
            "cpu_ms_per_operation": round(self.cpu_ms, 3),
        }


def issue(
    key: Annotated[Key, typer.Option(help="the issuing authority's key, in SoftHSM")] = Key.P_256,
    lint: Annotated[LintMode, typer.Option(help="pkilint over every certificate, or over its template")] = (
        LintMode.TEMPLATE
    ),
    database: Annotated[
        str, typer.Option(help="sqlite, postgresql (a server of the bench's own), or a URL")
    ] = "sqlite",
    seconds: Annotated[float, typer.Option(min=0.5, max=120, help="measured, about, for each contestant")] = 8.0,
    rounds: Annotated[int, typer.Option(min=1, max=20, help="turns that each contestant takes")] = 3,
    batch: Annotated[int, typer.Option(min=1, max=1000, help="certificates that share two transactions")] = BATCH,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
) -> None:
    """Certificates from request to record, by one process in batches, beside the token's raw signatures."""
    try:
        with tempfile.TemporaryDirectory(prefix="citizenid-bench-issue-") as folder:
            wire = _run(Path(folder), key, lint, database, seconds=seconds, rounds=rounds, batch=batch)
    except BenchFailed as error:
        print(f"bench: {error}", file=sys.stderr)
        raise typer.Exit(1) from error
    print(json.dumps(wire) if as_json else "\n".join(f"{name}: {value}" for name, value in wire.items()))


def _run(
    folder: Path, key: Key, lint: LintMode, database: str, *, seconds: float, rounds: int, batch: int
) -> dict[str, Any]:
    module = _softhsm(folder)
    with _database(folder, database) as (name, opened):
        key_store = Pkcs11KeyStore(module, _TOKEN, _PIN)
        service = _founded(opened, key_store, key)
        signing_key = key_store.private_key(AUTHORITY)
        ours, raw, linting = _Measured(), _Measured(), _Measured()
        numbers = itertools.count()
        turn_s = seconds / rounds
        rate = _warmed_up(service, numbers, lint, batch)
        for _ in range(rounds):
            _measure(raw, turn_s / 2, lambda: _sign(signing_key))
            requests = [_request(next(numbers)) for _ in range(max(batch * 2, int(rate * turn_s)))]
            issued = _issue_all(service, ours, requests, lint, batch)
            if lint is LintMode.EVERY:
                linter = Linter(pkilint_validators())
                ders = itertools.cycle([one.certificate.public_bytes(Encoding.DER) for one in issued])
                _measure(linting, turn_s / 2, lambda linter=linter, ders=ders: linter.findings(next(ders)))  # type: ignore[misc]  # defaults bind them
            _measure(raw, turn_s / 2, lambda: _sign(signing_key))
    return _report(name, key, lint, batch, rounds, ours=ours, raw=raw, linting=linting)


def _report(
    database: str,
    key: Key,
    lint: LintMode,
    batch: int,
    rounds: int,
    *,
    ours: _Measured,
    raw: _Measured,
    linting: _Measured,
) -> dict[str, Any]:
    """`ratio`: recorded certificates a second by the yardstick's operations a second, both by the clock.

    `share_of_the_cores`: of what all of the machine's cores could do, were a certificate its raw signature and its
    linting and nothing else, by what those cost in CPU in this run.
    """
    calls = sorted(ours.call_ms)
    cores = len(os.sched_getaffinity(0))
    needed_ms = raw.cpu_ms + (linting.cpu_ms if lint is LintMode.EVERY else 0.0)
    beside = [raw.wire(f"raw {key} signatures in SoftHSM, one session")]
    if lint is LintMode.EVERY:
        beside.insert(0, linting.wire("pkilint alone, over the same certificates"))
    return {
        "name": "issue",
        "commit": commit(),
        "machine": machine(),
        "database": database,
        "seconds": round(ours.seconds, 2),
        "operations": ours.operations,
        "per_second": round(ours.per_second, 1),
        "cpu_ms_per_operation": round(ours.cpu_ms, 3),
        "p50_ms": round(calls[len(calls) // 2], 2),
        "p99_ms": round(calls[min(len(calls) - 1, len(calls) * 99 // 100)], 2),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "settings": {
            "key": key.value,
            "lint": lint.value,
            "profile": PROFILE,
            "batch": batch,
            "rounds": rounds,
            "audit": "on",
            "p50_p99": "of a call of four batches",
            "subject_key": "p256, possession proven by PKCS#10",
        },
        "ratio": round(ours.per_second / beside[0]["per_second"], 3),
        "ratio_to_raw_signatures": round(ours.per_second / raw.per_second, 3),
        "cores": cores,
        "cores_in_use": round(ours.cpu_s / ours.seconds, 2),
        "most_the_cores_can_do_per_second": round(cores * 1000 / needed_ms, 1),
        "share_of_the_cores": round(ours.per_second * needed_ms / (cores * 1000), 3),
        "yardstick": beside[0],
        "beside": beside[1:],
    }


def _softhsm(folder: Path) -> Path:
    """A token in the folder, for this process alone; returns the module."""
    tool, module = shutil.which("softhsm2-util"), next((path for path in map(Path, _MODULES) if path.exists()), None)
    if tool is None or module is None:
        raise BenchFailed("SoftHSM2 is not installed; run `make setup`")
    tokens, configuration = folder / "tokens", folder / "softhsm2.conf"
    tokens.mkdir()
    configuration.write_text(f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
    os.putenv("SOFTHSM2_CONF", str(configuration))  # the module reads it when it is loaded, the tool when it starts
    command = [tool, "--init-token", "--free", "--label", _TOKEN, "--pin", _PIN, "--so-pin", _SO_PIN]
    made = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own command line
    if made.returncode != 0:
        raise BenchFailed(f"softhsm2-util: {made.stderr[-300:]}")
    return module


@contextmanager
def _database(folder: Path, wanted: str) -> Iterator[tuple[str, Database]]:
    if wanted == "postgresql":
        with postgresql() as server:
            yield server.name, _with_tables(server.url)
    elif wanted == "sqlite":
        yield "SQLite, WAL, synchronous=FULL", _with_tables(sqlite_url(folder / "bench.db"))
    else:
        yield wanted.partition(":")[0], _with_tables(wanted)


def _with_tables(url: str) -> Database:
    database = Database.open(url)
    metadata.create_all(database.engine)
    return database


def _founded(database: Database, key_store: Pkcs11KeyStore, key: Key) -> IssuanceService:
    """An issuance service with a root and one issuing authority, made by a ceremony."""
    audit, registry = AuditLog(system_clock, system_rng), AuthorityRegistry(database, system_clock)
    ceremony = parse_ceremony(
        _CEREMONY.format(algorithm=key.value, profile=PROFILE, authority=AUTHORITY).encode("utf-8")
    )
    service = IssuanceService(
        database=database,
        registry=registry,
        key_store=key_store,
        profiles=load_profiles(),
        audit=audit,
        publication_url=ceremony.content.publication_url,
        clock=system_clock,
        rng=system_rng,
    )
    run_ceremony(
        ceremony,
        key_store,
        database=database,
        registry=registry,
        issuer=AuthorityIssuer(service),
        audit=audit,
        clock=system_clock,
        held_by="system:bench",
    )
    return service


def _request(number: int) -> IssuanceRequest:
    """A citizen's, with a new key and proof that it is there."""
    key = ec.generate_private_key(ec.SECP256R1())
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return IssuanceRequest(
        request_id=f"bench-{number}",
        profile=PROFILE,
        authority=AUTHORITY,
        public_key=key.public_key(),
        actor="system:bench",
        common_name="王小明",
        subject_serial_number=f"{number:016d}",
        national_id_last4=f"{number % 10_000:04d}",
        person_id=f"person-{number}",
        card_number=f"{number:016d}",
        csr=csr,
    )


def _warmed_up(service: IssuanceService, numbers: Iterator[int], lint: LintMode, batch: int) -> float:
    """Templates made, statements compiled; returns about how many certificates a second there will be."""
    measured = _Measured()
    for _ in range(2):
        measured = _Measured()
        _issue_all(service, measured, [_request(next(numbers)) for _ in range(batch)], lint, batch)
    return measured.per_second


def _issue_all(
    service: IssuanceService, measured: _Measured, requests: list[IssuanceRequest], lint: LintMode, batch: int
) -> list[IssuedCertificate]:
    gc.collect()
    issued: list[IssuedCertificate] = []
    for start in range(0, len(requests), batch * 4):
        called, cpu = time.perf_counter(), time.process_time()
        outcomes = service.issue_many(requests[start : start + batch * 4], lint=lint, batch_size=batch)
        took = time.perf_counter() - called
        measured.cpu_s += time.process_time() - cpu
        measured.seconds += took
        measured.operations += len(outcomes)
        measured.call_ms.append(took * 1000)
        for outcome in outcomes:
            if not isinstance(outcome, IssuedCertificate):
                raise BenchFailed(f"refused: {outcome.code}: {outcome.detail}")
            issued.append(outcome)
    return issued


def _sign(key: PrivateKey) -> None:
    octets = bytes(900)
    if isinstance(key, rsa.RSAPrivateKey):
        key.sign(octets, PKCS1v15(), hashes.SHA256())
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        key.sign(octets, ec.ECDSA(hashes.SHA256()))


def _measure(measured: _Measured, seconds: float, operation: Callable[[], object]) -> None:
    started, cpu, count = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - started < seconds:
        operation()
        count += 1
    measured.seconds += time.perf_counter() - started
    measured.cpu_s += time.process_time() - cpu
    measured.operations += count
