// Calls Zoho CRM with Zoho's own SDK and a token from Vault. It needs VAULT_ADDR
// and VAULT_TOKEN. In this directory:
//
//   npm ci && node main.mjs [role]
import { DataCenter, InitializeBuilder, Org } from "@zohocrm/nodejs-sdk-8.0";
import { NoStore, VaultToken } from "./vault-token.mjs";

const { VAULT_ADDR, VAULT_TOKEN, VAULT_NAMESPACE } = process.env;
const role = process.argv[2] ?? "crm-sync";
const token = new VaultToken(role, { address: VAULT_ADDR, token: VAULT_TOKEN, namespace: VAULT_NAMESPACE });
try {
  // The second and the third are for refreshing and for uploads, which do not happen here.
  const environment = DataCenter.setEnvironment(await token.domain(), "", "");
  const sdk = (await new InitializeBuilder()).environment(environment).token(token).store(new NoStore());
  await sdk.initialize();

  const response = await new Org.OrgOperations().getOrganization();
  console.log("HTTP", response.getStatusCode());
  for (const org of response.getObject().getOrg()) console.log(org.getCompanyName());
} finally {
  await token.close();
}
