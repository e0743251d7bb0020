"""Alembic's entry: the revisions run on the connection that `ca_core.kernel.migration` holds."""

from ca_core.kernel.migration import run_environment
from idp.schema import metadata

run_environment(metadata)
