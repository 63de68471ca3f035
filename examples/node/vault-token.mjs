// VaultToken is a token of Zoho's Node SDK that is leased from Vault: it reads
// zoho/creds/<role>, reads again before the lease ends, and gives it back.
import { OAuthToken, UserSignature, TokenStore } from "@zohocrm/nodejs-sdk-8.0";

// A subclass of the SDK's OAuthToken, which implements its Token. A class that
// implements Token alone would do, but version 2.0.0 of the SDK fails on it when it is
// initialized: it looks for the name of a user, which only an OAuthToken has.
export class VaultToken extends OAuthToken {
  #vault;
  #role;
  #lease = null; // { id, tokenId, authorization, apiDomain, readAgain, ends }
  #rejected = null; // the token_id of one that Zoho no longer takes
  #reading = null; // the reading that is under way, for all who wait

  // vault is { address, token, namespace }; Vault's certificate authority is
  // Node's own setting, NODE_EXTRA_CA_CERTS.
  constructor(role, vault) {
    super();
    this.#role = role;
    this.#vault = vault;
    this.setUserSignature(new UserSignature(role)); // names the SDK's settings for this token
  }

  // The SDK calls this before each request to Zoho's API.
  async authenticate(connection) {
    const lease = await this.#current();
    connection.addHeader("Authorization", lease.authorization); // as it stands
  }

  // The SDK calls this when it is initialized; so a wrong setting shows at once.
  async generateToken() {
    await this.#current();
  }

  // Where the role's APIs are: the first argument of DataCenter.setEnvironment.
  async domain() {
    return (await this.#current()).apiDomain;
  }

  // Gives the lease back. The token is revoked at Zoho when nobody holds it.
  async close() {
    if (this.#reading) await this.#reading.catch(() => {});
    const lease = this.#lease;
    this.#lease = null;
    if (lease) await this.#giveBack(lease);
  }

  // For a call that Zoho has answered with 401 INVALID_TOKEN: the next one gets another
  // token. Once for a dead token, or the role's requests are used up.
  reject() {
    if (!this.#lease) return;
    this.#rejected = this.#lease.tokenId;
    this.#lease.readAgain = this.#lease.ends = 0;
  }

  async #current() {
    if (this.#lease && Date.now() < this.#lease.readAgain) return this.#lease;
    // One reading for all calls that run at the same time.
    this.#reading ??= this.#read().finally(() => (this.#reading = null));
    return this.#reading;
  }

  async #read() {
    const started = Date.now();
    let answer;
    try {
      const query = this.#rejected ? `?reject=${this.#rejected}` : "";
      answer = await this.#ask("GET", `zoho/creds/${encodeURIComponent(this.#role)}${query}`);
    } catch (error) {
      // While Vault or Zoho is away, a token that still lives is better than none. A
      // refusal (400, 403) is for a person.
      const refused = error.status === 400 || error.status === 403;
      if (refused || !this.#lease || started >= this.#lease.ends) throw error;
      this.#lease.readAgain = Date.now() + 5_000;
      return this.#lease;
    }
    // Nine tenths of the lease, as Vault Agent does. It cannot be renewed. The former
    // one is not revoked here: a call may be under way with its token. It ends by itself.
    const life = answer.lease_duration * 1000;
    this.#lease = {
      id: answer.lease_id,
      tokenId: answer.data.token_id,
      authorization: answer.data.authorization,
      apiDomain: answer.data.api_domain,
      readAgain: started + life * 0.9,
      ends: started + life,
    };
    return this.#lease;
  }

  async #giveBack(lease) {
    await this.#ask("PUT", "sys/leases/revoke", { lease_id: lease.id, sync: true });
  }

  async #ask(method, path, body) {
    const headers = { "X-Vault-Request": "true", "X-Vault-Token": this.#vault.token };
    if (this.#vault.namespace) headers["X-Vault-Namespace"] = this.#vault.namespace;
    const response = await fetch(`${this.#vault.address}/v1/${path}`, {
      method,
      headers,
      body: body && JSON.stringify(body),
      redirect: "error", // the Vault token goes to no other host
      signal: AbortSignal.timeout(30_000),
    });
    const text = await response.text();
    const answer = text ? JSON.parse(text) : {};
    if (!response.ok) {
      // Vault's messages say what to do, and have no secret in them.
      const error = new Error(`Vault answers HTTP ${response.status}: ${(answer.errors ?? []).join(" ")}`);
      error.status = response.status;
      throw error;
    }
    return answer;
  }
}

// NoStore is given to the SDK in the place of its default, a FileStore, which
// writes access tokens to a file in clear.
export class NoStore extends TokenStore.TokenStore {
  async findToken() { return null; }
  async findTokenById() { return null; }
  async saveToken() {}
  async deleteToken() {}
  async deleteTokens() {}
  async getTokens() { return []; }
}
