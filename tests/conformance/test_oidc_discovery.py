"""OpenID Connect Discovery 1.0 and RFC 8414: what the documents must hold, checked by another's validators as well."""

from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from authlib.oidc.discovery import OpenIDProviderMetadata

from support.openid_provider import ISSUER, ProviderHouse

OPENID = "/.well-known/openid-configuration"
OAUTH = "/.well-known/oauth-authorization-server"


def test_authlib_accepts_the_openid_document(house: ProviderHouse) -> None:
    """Discovery s3"""
    OpenIDProviderMetadata(house.browser.get(OPENID).json()).validate()


def test_authlib_accepts_the_oauth_document(house: ProviderHouse) -> None:
    """RFC 8414 s2"""
    AuthorizationServerMetadata(house.browser.get(OAUTH).json()).validate()


def test_the_issuer_is_the_url_it_was_fetched_from(house: ProviderHouse) -> None:
    """Discovery s4.3; RFC 8414 s3.3: MUST be identical."""
    for path in (OPENID, OAUTH):
        assert house.browser.get(path).json()["issuer"] == ISSUER


def test_rs256_is_listed(house: ProviderHouse) -> None:
    """Discovery s3: the algorithm RS256 MUST be included."""
    assert "RS256" in house.browser.get(OPENID).json()["id_token_signing_alg_values_supported"]


def test_every_endpoint_that_is_named_exists(house: ProviderHouse) -> None:
    metadata = house.browser.get(OPENID).json()
    urls = {name: url for name, url in metadata.items() if name.endswith("_endpoint") or name.endswith("_uri")}
    assert len(urls) == 5
    for url in urls.values():
        assert url.startswith(f"{ISSUER}/")
        assert house.browser.get(url).status_code != 404


def test_the_documents_are_json_that_may_be_cached(house: ProviderHouse) -> None:
    """Discovery s4.2: application/json; RFC 7517 s8.5.2."""
    for path, media_type in (
        (OPENID, "application/json"),
        (OAUTH, "application/json"),
        ("/jwks", "application/jwk-set+json"),
    ):
        response = house.browser.get(path)
        assert response.status_code == 200
        assert response.headers["content-type"] == media_type
        assert response.headers["cache-control"] == "public, max-age=300"
        assert response.headers["access-control-allow-origin"] == "*"
        again = house.browser.get(path, headers={"If-None-Match": response.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


def test_the_jwks_holds_public_keys_alone(house: ProviderHouse) -> None:
    """RFC 7517 s9.3"""
    keys = house.browser.get("/jwks").json()["keys"]
    assert [(key["kty"], key["alg"], key["use"]) for key in keys] == [
        ("EC", "ES256", "sig"),
        ("RSA", "RS256", "sig"),
        ("EC", "ES256", "sig"),
    ]
    assert len({key["kid"] for key in keys}) == 3
    assert not {"d", "p", "q", "dp", "dq", "qi", "k"} & {name for key in keys for name in key}
