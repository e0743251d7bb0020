"""Where a list is, as certificates and lists say it."""

from cryptography import x509


def first_uri(point: x509.DistributionPoint | x509.IssuingDistributionPoint) -> str:
    names = point.full_name
    if not names:
        raise AssertionError("a distribution point without a name")
    return str(names[0].value)
