"""RFC 9207, the issuer in authorization responses: one test a MUST."""

from support.openid_provider import ISSUER, ProviderHouse, answer_of


def test_a_good_answer_names_the_issuer(house: ProviderHouse) -> None:
    """s2: MUST include iss, identical to the metadata's issuer."""
    house.log_in()
    house.consent()
    answer = answer_of(house.authorize())
    metadata = house.browser.get("/.well-known/openid-configuration").json()
    assert answer["iss"] == metadata["issuer"] == ISSUER


def test_an_error_names_the_issuer(house: ProviderHouse) -> None:
    """s2: including error responses."""
    for changes in ({"prompt": "none"}, {"response_type": "token"}, {"scope": None}, {"state": "\n"}):
        assert answer_of(house.authorize(**changes))["iss"] == ISSUER


def test_the_metadata_says_so(house: ProviderHouse) -> None:
    """s3"""
    metadata = house.browser.get("/.well-known/oauth-authorization-server").json()
    assert metadata["authorization_response_iss_parameter_supported"] is True
