// The yardstick of `citizenid bench sso-login`: npm oidc-provider with everything in memory, set up to do the same
// work (code flow, PKCE S256, ES256 ID tokens, client_secret_basic, opaque access tokens, userinfo).
//
// node oidc-provider.mjs: listens on a free port of 127.0.0.1 and prints one line of JSON:
// {"issuer", "pid", "version", "client_id", "client_secret", "redirect_uri"}. Ends with SIGTERM.
// Whoever comes is logged in as the account "bench" without being asked; the session then lives in memory.

import { createServer } from 'node:http';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';

const client = {
  client_id: 'bench',
  client_secret: randomBytes(32).toString('base64url'),
  redirect_uris: ['http://127.0.0.1:9/callback'],
  token_endpoint_auth_method: 'client_secret_basic',
  id_token_signed_response_alg: 'ES256',
  grant_types: ['authorization_code'],
  response_types: ['code'],
};

const signingKey = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' });

function configuration(Provider) {
  return {
    clients: [client],
    jwks: { keys: [{ ...signingKey, use: 'sig', alg: 'ES256', kid: 'bench' }] },
    cookies: { keys: [randomBytes(32).toString('base64url')] },
    features: { devInteractions: { enabled: false } },
    scopes: ['openid', 'profile'],
    claims: { openid: ['sub'], profile: ['name', 'birthdate', 'gender'] },
    pkce: { required: () => true },
    ttl: { AccessToken: 600, AuthorizationCode: 60, Grant: 86400, IdToken: 600, Interaction: 600, Session: 86400 },
    interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
    findAccount: (ctx, id) => ({
      accountId: id,
      claims: () => ({ sub: id, name: '王小明', birthdate: '1990-01-01', gender: 'male' }),
    }),
    // Everything that is asked for is granted once, and found again in memory by each later request.
    async loadExistingGrant(ctx) {
      const { session, client: { clientId } } = ctx.oidc;
      const known = session.grantIdFor(clientId);
      if (known) return ctx.oidc.provider.Grant.find(known);
      const grant = new ctx.oidc.provider.Grant({ accountId: session.accountId, clientId });
      grant.addOIDCScope('openid profile');
      await grant.save();
      return grant;
    },
  };
}

const server = createServer();
server.listen(0, '127.0.0.1', async () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const { default: Provider } = await import('oidc-provider');
  const provider = new Provider(issuer, configuration(Provider));
  const callback = provider.callback();
  server.on('request', (request, response) => {
    if (request.url.startsWith('/interaction/')) {
      provider.interactionFinished(request, response, { login: { accountId: 'bench' } });
    } else {
      callback(request, response);
    }
  });
  const manifest = new URL('./node_modules/oidc-provider/package.json', import.meta.url);
  process.stdout.write(`${JSON.stringify({
    issuer,
    pid: process.pid,
    version: JSON.parse(readFileSync(manifest)).version,
    client_id: client.client_id,
    client_secret: client.client_secret,
    redirect_uri: client.redirect_uris[0],
  })}\n`);
});

process.on('SIGTERM', () => process.exit(0));
