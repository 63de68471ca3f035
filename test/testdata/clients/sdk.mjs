// A program of somebody who uses Zoho's Node SDK as its documentation says, with a
// refresh token, and has told it another token endpoint. It calls until its input
// ends, and fails if one call is not accepted.
import { DataCenter, InitializeBuilder, OAuthBuilder, Org, SDKConfigBuilder } from "@zohocrm/nodejs-sdk-8.0";
import { NoStore } from "./vault-token.mjs";

const { API_URL, TOKEN_URL, ZOHO_CLIENT_ID, ZOHO_CLIENT_SECRET, ROLE, NO_STORE } = process.env;

// docs/clients.md says why the address has a port: the SDK knows this one, and would use
// the Accounts server that belongs to it.
if ((await DataCenter.get("https://www.zohoapis.eu")) === null) throw new Error("the SDK does not know its own data centre");
if ((await DataCenter.get("https://www.zohoapis.eu:443")) !== null) throw new Error("the SDK knows the address with a port, too");

const environment = DataCenter.setEnvironment(API_URL, TOKEN_URL, API_URL);
const token = new OAuthBuilder().clientId(ZOHO_CLIENT_ID).clientSecret(ZOHO_CLIENT_SECRET).refreshToken(ROLE).build();
const config = new SDKConfigBuilder().updateAPIDomain(false).build();
const sdk = (await new InitializeBuilder()).environment(environment).token(token).SDKConfig(config);
if (NO_STORE) sdk.store(new NoStore());
await sdk.initialize();

let ended = false;
process.stdin.on("end", () => (ended = true)).resume();
while (!ended) {
  const response = await new Org.OrgOperations().getOrganization();
  if (response.getStatusCode() !== 200) throw new Error(`HTTP ${response.getStatusCode()}`);
  console.log("accepted", response.getObject().getOrg()[0].getCompanyName());
  await new Promise((resolve) => setTimeout(resolve, 100));
}
