// A relying party made of npm openid-client. Lines of JSON on its standard streams:
// in:  {"issuer", "client_id", "client_secret", "redirect_uris", "token_endpoint_auth_method", "scope"}
// out: {"authorization_url"}
// in:  the address that the browser was sent back to
// out: {"claims": the ID token's, "userinfo", "replay_error": the error of a second exchange of the same code}

import { createInterface } from 'node:readline';
import * as client from 'openid-client';

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const read = async () => (await lines.next()).value;
const print = (members) => process.stdout.write(`${JSON.stringify(members)}\n`);

const asked = JSON.parse(await read());
const authentication = {
  client_secret_basic: () => client.ClientSecretBasic(asked.client_secret),
  client_secret_post: () => client.ClientSecretPost(asked.client_secret),
  none: () => client.None(),
}[asked.token_endpoint_auth_method]();

const provider = await client.discovery(
  new URL(asked.issuer),
  asked.client_id,
  { id_token_signed_response_alg: asked.id_token_signed_response_alg },
  authentication,
  { execute: asked.issuer.startsWith('http://') ? [client.allowInsecureRequests] : [] },
);

const checks = {
  pkceCodeVerifier: client.randomPKCECodeVerifier(),
  expectedState: client.randomState(),
  expectedNonce: client.randomNonce(),
  idTokenExpected: true,
  maxAge: 3600,
};
const url = client.buildAuthorizationUrl(provider, {
  redirect_uri: asked.redirect_uris[0],
  scope: asked.scope,
  state: checks.expectedState,
  nonce: checks.expectedNonce,
  max_age: String(checks.maxAge),
  code_challenge: await client.calculatePKCECodeChallenge(checks.pkceCodeVerifier),
  code_challenge_method: 'S256',
});
print({ authorization_url: url.href });

const callback = new URL(await read());
const tokens = await client.authorizationCodeGrant(provider, callback, checks);
const claims = tokens.claims();
const userinfo = await client.fetchUserInfo(provider, tokens.access_token, claims.sub);
const replay = await client.authorizationCodeGrant(provider, callback, checks).then(() => null, (error) => error.error);
print({ claims, userinfo, replay_error: replay });
