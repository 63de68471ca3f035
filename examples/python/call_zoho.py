#!/usr/bin/env python3
"""An application that calls Zoho with a token from Vault.

    call_zoho.py [--role crm-sync] [--api /crm/v8/org] [--mount zoho]

It needs hvac (Debian: python3-hvac), VAULT_ADDR, and either VAULT_TOKEN or what
`vault login` has left.
"""

import argparse
import sys
import time

import hvac
import requests

DEAD = {"INVALID_TOKEN", "INVALID_OAUTHTOKEN", "AUTHENTICATION_FAILURE"}


class Zoho:
    """A client of Zoho's APIs. A program keeps one, and not one for each call:
    each read of creds has a lease of its own."""

    def __init__(self, vault, mount, role):
        self.vault = vault
        self.path = f"/v1/{mount}/creds/{role}"
        self.creds = None
        self.lease = None
        self.read_again = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.give_back()

    def get(self, api):
        """Calls the API. If Zoho says that the token is dead, reads another one
        and tries once more, and not again: each of these can cost a token
        request, of which Zoho allows ten in ten minutes."""
        if time.monotonic() >= self.read_again:
            self.read()
        answer = self.call(api)
        if is_dead(answer):
            self.read(reject=self.creds["token_id"])
            answer = self.call(api)
        if not answer.ok:
            raise RuntimeError(f"HTTP {answer.status_code}: {answer.text}")
        return answer

    def read(self, reject=None):
        params = {} if reject is None else {"reject": reject}
        # An hvac.exceptions.VaultError says what happened, and what to do.
        answer = self.vault.adapter.get(self.path, params=params)
        # Nothing is under way with the former token. In a program with parallel
        # calls something may be: let its lease end by itself there.
        self.give_back()
        self.creds, self.lease = answer["data"], answer["lease_id"]
        # Nine tenths of the lease, as Vault Agent does. It cannot be renewed.
        self.read_again = time.monotonic() + answer["lease_duration"] * 0.9

    def call(self, api):
        # As it stands: token_type says Bearer.
        headers = {"Authorization": self.creds["authorization"]}
        return requests.get(self.creds["api_domain"] + api, headers=headers, timeout=30)

    def give_back(self):
        """Revokes the lease. The token is revoked at Zoho when nobody holds it."""
        if self.lease is not None:
            self.vault.sys.revoke_lease(self.lease)
            self.lease = None


def is_dead(answer):
    """A 401 can also mean that the token lacks a scope, against which another
    token does not help."""
    if answer.status_code != 401:
        return False
    try:
        return answer.json().get("code") in DEAD
    except (ValueError, AttributeError):
        return False


def main():
    flags = argparse.ArgumentParser(description="Calls Zoho with a token from Vault.")
    flags.add_argument("--role", default="crm-sync")
    flags.add_argument("--api", default="/crm/v8/org", help="what to call")
    flags.add_argument("--mount", default="zoho", help="where the engine is mounted")
    args = flags.parse_args()
    try:
        with Zoho(hvac.Client(), args.mount, args.role) as zoho:
            print(zoho.get(args.api).text)
    except (hvac.exceptions.VaultError, requests.RequestException, RuntimeError) as err:
        sys.exit(str(err))


if __name__ == "__main__":
    main()
