# A program of somebody who uses Zoho's Python SDK 8.0 with a refresh token, and has told it
# another token endpoint. It calls until its input ends, and fails if one call is not
# accepted. Its store keeps nothing: the SDK's own write access tokens in clear.
import os
import select
import sys

from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.api.authenticator.store import TokenStore
from zohocrmsdk.src.com.zoho.crm.api import Initializer
from zohocrmsdk.src.com.zoho.crm.api.dc.data_center import DataCenter
from zohocrmsdk.src.com.zoho.crm.api.org import OrgOperations
from zohocrmsdk.src.com.zoho.crm.api.sdk_config import SDKConfig


class NoStore(TokenStore):
    def find_token(self, token): return token
    def find_token_by_id(self, id): return None
    def save_token(self, token): pass
    def delete_token(self, id): pass
    def get_tokens(self): return []
    def delete_tokens(self): pass


api = os.environ["API_URL"]
environment = DataCenter.Environment(api, os.environ["TOKEN_URL"], api)
token = OAuthToken(client_id=os.environ["ZOHO_CLIENT_ID"], client_secret=os.environ["ZOHO_CLIENT_SECRET"], refresh_token=os.environ["ROLE"])
Initializer.initialize(environment, token, store=NoStore(), sdk_config=SDKConfig(auto_refresh_fields=False, pick_list_validation=False), resource_path=os.environ["HOME"])
while not select.select([sys.stdin], [], [], 0.1)[0]:
    response = OrgOperations().get_organization()
    if response.get_status_code() != 200:
        sys.exit("HTTP %s" % response.get_status_code())
    print("accepted", response.get_object().get_org()[0].get_company_name(), flush=True)
