"""This package's schema history, run by `citizenid db upgrade`."""
