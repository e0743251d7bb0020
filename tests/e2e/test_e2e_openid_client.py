"""npm openid-client, a relying party that nobody here wrote, completes a login."""

import json
import subprocess

import pytest

from support.demo import ROOT, Demo
from support.outside_login import AuthorizationRequest, log_in, metadata
from support.processes import stop_group
from support.scriptless import ScriptlessBrowser


@pytest.mark.parametrize("method", ["client_secret_basic", "none"])
def test_openid_client_completes_a_login(demo: Demo, scriptless: ScriptlessBrowser, method: str) -> None:
    client = demo.client(method)
    asked = json.dumps({"issuer": demo.issuer, "scope": "openid profile", **client})
    command = [str(ROOT / "scripts" / "node"), "tests/interop/openid-client.mjs"]
    party = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert party.stdin is not None and party.stdout is not None
        party.stdin.write(asked + "\n")
        party.stdin.flush()
        begun = json.loads(party.stdout.readline())
        redirect_uri = client["redirect_uris"][0]
        request = AuthorizationRequest(url=begun["authorization_url"], redirect_uri=redirect_uri)
        party.stdin.write(log_in(demo, request, scriptless) + "\n")
        party.stdin.flush()
        result = json.loads(party.stdout.readline())
    finally:
        stop_group(party)
    assert result["claims"]["iss"] == demo.issuer == metadata(demo)["issuer"]
    assert result["claims"]["acr"] == "urn:citizenid:loa:high"
    assert {"sc", "pin"} <= set(result["claims"]["amr"])
    assert result["userinfo"]["sub"] == result["claims"]["sub"]
    assert result["userinfo"]["name"] == demo.citizens[0].name
    assert result["replay_error"] == "invalid_grant"
