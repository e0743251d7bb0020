"""The demo's relying parties."""

from ca_core.statement.model import LocalText
from idp.clients.model import ClientRegistration, TokenEndpointAuthMethod
from idp.clients.service import ClientRegistry
from idp.demo.founding import ACTOR
from idp.demo.state import ClientRecord

_SCOPES = ("openid", "profile", "age")


def register_clients(registry: ClientRegistry, relying_party: str) -> list[ClientRecord]:
    """The sample relying party, and a public client for trying things out. relying_party: the sample's origin."""
    sample = ClientRegistration(
        name=LocalText(zh_tw="線上申辦示範網站", en="Sample Online Services"),
        purpose=LocalText(zh_tw="確認您的身分，以辦理線上申請", en="To confirm who you are for an online application"),
        redirect_uris=(f"{relying_party}/callback",),
        post_logout_redirect_uris=(f"{relying_party}/",),
        scopes=_SCOPES,
    )
    public = ClientRegistration(
        name=LocalText(zh_tw="公開用戶端示範", en="Sample Public Client"),
        purpose=LocalText(zh_tw="示範不含密鑰的登入", en="To show a login without a client secret"),
        redirect_uris=(f"{relying_party}/public/callback",),
        scopes=_SCOPES,
        token_endpoint_auth_method=TokenEndpointAuthMethod.NONE,
    )
    return [_register(registry, asked) for asked in (sample, public)]


def _register(registry: ClientRegistry, asked: ClientRegistration) -> ClientRecord:
    made = registry.register(asked, actor=ACTOR)
    return ClientRecord(
        client_id=made.client.client_id,
        client_secret=made.client_secret,
        redirect_uris=list(made.client.redirect_uris),
        token_endpoint_auth_method=made.client.token_endpoint_auth_method.value,
    )
