# A program of somebody who uses requests-oauthlib as its documentation says, with
# automatic refreshing. It calls until its input ends, and fails if one call is not
# accepted.
import os
import select
import sys

from requests_oauthlib import OAuth2Session

client = {"client_id": os.environ["ZOHO_CLIENT_ID"], "client_secret": os.environ["ZOHO_CLIENT_SECRET"]}
session = OAuth2Session(
    client["client_id"],
    token={"access_token": "none yet", "refresh_token": os.environ["ROLE"], "token_type": "Bearer", "expires_in": -1},
    auto_refresh_url=os.environ["TOKEN_URL"],
    auto_refresh_kwargs=client,
    token_updater=lambda token: None,
)
while not select.select([sys.stdin], [], [], 0.1)[0]:
    response = session.get(os.environ["API_URL"] + "/crm/v8/org")
    response.raise_for_status()
    print("accepted", response.json()["org"][0]["company_name"], flush=True)
