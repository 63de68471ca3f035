// A program of somebody who uses openid-client, which encodes the client's ID and secret in
// the Basic header, as RFC 6749 says.
import * as client from "openid-client";
import { callUntilTheInputEnds } from "./calls.mjs";

const { TOKEN_URL, ROLE, ZOHO_CLIENT_ID, ZOHO_CLIENT_SECRET } = process.env;
const server = { issuer: "https://accounts.zoho.eu", token_endpoint: TOKEN_URL };
const basic = client.ClientSecretBasic(ZOHO_CLIENT_SECRET);
const config = new client.Configuration(server, ZOHO_CLIENT_ID, ZOHO_CLIENT_SECRET, basic);
client.allowInsecureRequests(config); // HTTP, on a loopback address

let token;
let refreshAt = 0;
await callUntilTheInputEnds(async () => {
  if (Date.now() >= refreshAt) {
    token = await client.refreshTokenGrant(config, ROLE);
    refreshAt = Date.now() + (token.expires_in - 1) * 1000;
  }
  return token.access_token;
});
