"""What /metrics says: the process, the jobs of this process, and what must not run out, read when it is asked for."""

from collections.abc import Iterator
from datetime import datetime
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from ca_core.kernel.errors import DomainError
from idp.main.authority import CertificationAuthority


class JobWatch(Protocol):
    """Who is told of every turn of a job: `JobMetrics`."""

    def ended(self, job: str, *, took_s: float, succeeded: bool, at: datetime) -> None: ...


class JobMetrics:
    """Turns, seconds and the latest success of each job, by its name."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._turns = Counter("citizenid_job_turns", "Turns that ended.", ("job", "outcome"), registry=registry)
        self._seconds = Counter("citizenid_job_seconds", "Seconds spent in turns.", ("job",), registry=registry)
        self._success = Gauge(
            "citizenid_job_last_success_timestamp_seconds", "End of the latest good turn.", ("job",), registry=registry
        )

    def ended(self, job: str, *, took_s: float, succeeded: bool, at: datetime) -> None:
        self._turns.labels(job, "ok" if succeeded else "failed").inc()
        self._seconds.labels(job).inc(took_s)
        if succeeded:
            self._success.labels(job).set(at.timestamp())


class EndsCollector(Collector):
    """When certificates and lists end, of each authority by its slug; where the database is away, that alone."""

    def __init__(self, ca: CertificationAuthority) -> None:
        self._ca = ca

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("citizenid_database_up", "1 where the database answered.")
        try:
            found = list(self._families())
        except DomainError:
            found = []
        up.add_metric([], float(bool(found)))
        yield from [up, *found]

    def _families(self) -> Iterator[Metric]:
        ca = self._ca
        authorities = _ends("citizenid_authority_not_after", "notAfter of the authority's certificate.", "authority")
        responders = _ends("citizenid_ocsp_responder_not_after", "notAfter of its newest responder.", "authority")
        lists = _ends("citizenid_crl_next_update", "nextUpdate of the newest list.", "authority", "kind")
        numbers = GaugeMetricFamily(
            "citizenid_crl_number", "CRLNumber of the newest list.", labels=["authority", "kind"]
        )
        entries = GaugeMetricFamily(
            "citizenid_crl_entries", "Entries of the newest list.", labels=["authority", "kind"]
        )
        for authority in ca.registry.all():
            slug = [authority.slug]
            authorities.add_metric(slug, authority.certificate.not_valid_after_utc.timestamp())
            responder_end = ca.responders.newest_end(authority.id)
            if responder_end is not None:
                responders.add_metric(slug, responder_end.timestamp())
            for record in (
                ca.crl_archive.latest_record(authority.slug),
                ca.crl_archive.latest_delta_record(authority.slug),
            ):
                if record is not None:
                    labels = [authority.slug, record.kind.value]
                    lists.add_metric(labels, record.next_update.timestamp())
                    numbers.add_metric(labels, record.number)
                    entries.add_metric(labels, record.entries)
        yield from (authorities, responders, lists, numbers, entries)


class Metrics:
    """One application's: nothing is shared with another in the same process but the process's own figures."""

    def __init__(self, ca: CertificationAuthority) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self._registry.register(EndsCollector(ca))
        self.jobs = JobMetrics(self._registry)

    def text(self) -> bytes:
        """Prometheus's text format, as `CONTENT_TYPE_LATEST` says. Asks the database."""
        return generate_latest(self._registry)


def _ends(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{name}_timestamp_seconds", text, labels=labels)
