"""Where a form of ours may end, and what is shown of a request."""

import pytest

from idp.authn.view import return_sources


@pytest.mark.parametrize(
    "redirect_uri, sources",
    [
        ("https://tax.example/cb", ("https:",)),
        ("https://tax.example:8443/cb", ("https:",)),
        ("http://localhost:8001/cb", ("https:", "http://localhost:8001")),
        ("http://127.0.0.1:49152/cb", ("https:", "http://127.0.0.1:49152")),
        ("http://[::1]:49152/cb", ("https:", "http:")),
        ("example.tax.app:/cb", ("https:", "example.tax.app:")),
    ],
)
def test_a_form_may_end_at_the_relying_party(redirect_uri: str, sources: tuple[str, ...]) -> None:
    assert return_sources(redirect_uri) == sources
