// What every program here does: it calls until its input ends, and fails if one call is not
// accepted. accessToken gives a token that is good now.
export async function callUntilTheInputEnds(accessToken) {
  let ended = false;
  process.stdin.on("end", () => (ended = true)).resume();
  while (!ended) {
    const headers = { authorization: `Zoho-oauthtoken ${await accessToken()}` };
    const response = await fetch(`${process.env.API_URL}/crm/v8/org`, { headers });
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    console.log("accepted", (await response.json()).org[0].company_name);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
