"""The metadata that every table of this package registers on; each feature's `store.py` declares its own tables."""

from sqlalchemy import MetaData

from ca_core.schema import NAMING

metadata = MetaData(naming_convention=NAMING)
