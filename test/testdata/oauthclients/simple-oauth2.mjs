// A program of somebody who uses simple-oauth2. Its refresh() drops the refresh token when
// the answer has none, as Zoho's has none, so the program adds it again.
import { AuthorizationCode } from "simple-oauth2";
import { callUntilTheInputEnds } from "./calls.mjs";

const { TOKEN_URL, ROLE, ZOHO_CLIENT_ID, ZOHO_CLIENT_SECRET } = process.env;
const { origin, pathname } = new URL(TOKEN_URL);
const oauth = new AuthorizationCode({
  client: { id: ZOHO_CLIENT_ID, secret: ZOHO_CLIENT_SECRET },
  auth: { tokenHost: origin, tokenPath: pathname, revokePath: "/oauth/v2/token/revoke" },
});

let token = oauth.createToken({ access_token: "none yet", refresh_token: ROLE, expires_in: -1 });
await callUntilTheInputEnds(async () => {
  if (token.expired(1)) {
    const refreshed = await token.refresh();
    token = oauth.createToken({ ...refreshed.token, refresh_token: ROLE });
  }
  return token.token.access_token;
});
if (process.env.REVOKE) await token.revoke("access_token");
