// An OpenID provider for tests: a real one (oidc-provider) on loopback, whose keys the test can turn over, and a signer of tokens that no
// provider would give. Told by the environment: a node_modules. It prints its address, then answers what the test asks.

import { createServer } from "node:http";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const told = JSON.parse(process.env.ONEKNOCK_OIDC_TOLD);
const require = createRequire(pathToFileURL(`${told.modules}/`));
const load = async (name) => import(pathToFileURL(require.resolve(name)));
const { Provider } = await load("oidc-provider");
const jose = await load("jose");

const AUDIENCE = "oneknock";
// The provider's own word on who somebody is: what a client may be is written down here, by its name.
const HOLDERS = {
  worker: { oneknock_role: "worker", oneknock_name: "w-oidc", oneknock_grids: ["g1"] },
  supervisor: { oneknock_role: "supervisor", oneknock_areas: ["330107"] },
  source: { oneknock_role: "source", oneknock_name: "checkpoint-bureau", oneknock_kinds: ["checkpoint"] },
  ops: { oneknock_role: "ops" },
  stranger: { oneknock_role: "king" },
  roleless: {},
};

let number = 0;
async function fresh(alg) {
  const pair = await jose.generateKeyPair(alg, { extractable: true });
  const jwk = { ...(await jose.exportJWK(pair.privateKey)), kid: `key-${++number}`, alg, use: "sig" };
  return { ...pair, jwk };
}

const algorithm = (key) => key.jwk.alg;
let keys = [await fresh("RS256")];
let handle = null;
let fetches = 0;
const server = createServer((request, response) => {
  if (request.url.startsWith("/test/")) { return test(request, response); }
  if (request.url === "/jwks") { fetches += 1; }
  return handle(request, response);
});
await new Promise((done) => server.listen(told.port ?? 0, "127.0.0.1", done));
const issuer = `http://127.0.0.1:${server.address().port}`;

function renew() {
  const alg = algorithm(keys[0]);
  const clients = Object.keys(HOLDERS).map((name) => ({
    client_id: name, client_secret: `${name}-secret`, grant_types: ["client_credentials"], redirect_uris: [], response_types: [],
    id_token_signed_response_alg: alg,
  }));
  const provider = new Provider(issuer, {
    clients,
    jwks: { keys: keys.map((key) => key.jwk) },
    cookies: { keys: ["made up"] },
    extraTokenClaims: (_, token) => HOLDERS[token.clientId],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => "https://api.example",
        getResourceServerInfo: () => ({ scope: "", audience: AUDIENCE, accessTokenTTL: 600, accessTokenFormat: "jwt", jwt: { sign: { alg } } }),
      },
    },
  });
  handle = provider.callback();
}
renew();

// Tokens signed with the provider's key, or another, with claims as the test wants them.
async function sign(wish) {
  const now = Math.floor(Date.now() / 1000);
  const claims = { iss: issuer, aud: AUDIENCE, sub: "made-up", iat: now, exp: now + 600, ...HOLDERS.worker, ...(wish.claims ?? {}) };
  for (const name of wish.without ?? []) { delete claims[name]; }
  for (const [name, seconds] of Object.entries(wish.offsets ?? {})) { claims[name] = now + seconds; }
  const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  if (wish.alg === "none") { return `${encode({ alg: "none", kid: keys[0].jwk.kid })}.${encode(claims)}.`; }
  if (wish.alg === "HS256") {
    // The old trick: the public key as if it were a shared secret.
    const secret = Buffer.from(await jose.exportSPKI(keys[0].publicKey));
    return new jose.SignJWT(claims).setProtectedHeader({ alg: "HS256", kid: keys[0].jwk.kid }).sign(secret);
  }
  const key = wish.own ? await fresh("RS256") : keys[0];
  const kid = wish.kid ?? (wish.own ? keys[0].jwk.kid : key.jwk.kid);
  return new jose.SignJWT(claims).setProtectedHeader({ alg: wish.header ?? algorithm(key), kid }).sign(key.privateKey);
}

async function test(request, response) {
  let body = "";
  for await (const chunk of request) { body += chunk; }
  const wish = body ? JSON.parse(body) : {};
  let answer = "";
  if (request.url === "/test/sign") { answer = await sign(wish); }
  if (request.url === "/test/rotate") { keys = [await fresh(wish.alg ?? "RS256"), ...(wish.only ? [] : keys)]; renew(); }
  if (request.url === "/test/fetches") { answer = String(fetches); }
  response.end(answer);
}

console.log(issuer);
