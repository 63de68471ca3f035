// Uses Zoho's Node SDK with an access token, and no way to refresh it: one call.
import { DataCenter, InitializeBuilder, OAuthBuilder, Org } from "@zohocrm/nodejs-sdk-8.0";
import { NoStore } from "./vault-token.mjs";

const { API_URL, ACCESS_TOKEN } = process.env;
const token = new OAuthBuilder().accessToken(ACCESS_TOKEN).build();
const sdk = (await new InitializeBuilder()).environment(DataCenter.setEnvironment(API_URL, "", "")).token(token);
await sdk.store(new NoStore()).initialize();
const response = await new Org.OrgOperations().getOrganization();
console.log("HTTP", response.getStatusCode());
