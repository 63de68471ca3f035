// Uses examples/node as a program that runs for long does: it calls until its input
// ends, and fails if one call is not accepted.
import { DataCenter, InitializeBuilder, Org } from "@zohocrm/nodejs-sdk-8.0";
import { NoStore, VaultToken } from "./vault-token.mjs";

const { VAULT_ADDR, VAULT_TOKEN } = process.env;
const token = new VaultToken("crm-sync", { address: VAULT_ADDR, token: VAULT_TOKEN });
const environment = DataCenter.setEnvironment(await token.domain(), "", "");
await (await new InitializeBuilder()).environment(environment).token(token).store(new NoStore()).initialize();

let ended = false;
process.stdin.on("end", () => (ended = true)).resume();
while (!ended) {
  const calls = [1, 2, 3].map(() => new Org.OrgOperations().getOrganization()); // at the same time
  for (const response of await Promise.all(calls)) {
    if (response.getStatusCode() !== 200) throw new Error(`HTTP ${response.getStatusCode()}`);
    console.log("accepted", response.getObject().getOrg()[0].getCompanyName());
  }
  await new Promise((resolve) => setTimeout(resolve, 100));
}
await token.close();
