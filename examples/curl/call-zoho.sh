#!/bin/sh
# Reads a token, calls Zoho with it, and gives its lease back. It needs
# VAULT_ADDR, VAULT_TOKEN and curl: call-zoho.sh [ROLE [PATH OF THE API]]
set -eu

role=${1:-crm-sync}
api=${2:-/crm/v8/org}

# curl reads headers from stdin: arguments can be seen by every user.
request() {
	header=$1
	shift
	printf 'header = "%s"\n' "$header" | curl --silent --show-error --config - "$@"
}

creds=$(request "X-Vault-Token: $VAULT_TOKEN" --fail-with-body "$VAULT_ADDR/v1/zoho/creds/$role") || {
	echo "$creds" >&2 # what happened, and what to do
	exit 1
}

# Whatever happens from here on: a lease that is not needed any more is given
# back. The token is revoked at Zoho when nobody else holds it.
give_back() {
	request "X-Vault-Token: $VAULT_TOKEN" --output /dev/null --data "lease_id=$(field lease_id)" \
		"$VAULT_ADDR/v1/sys/leases/revoke"
}

# Vault answers in one line, and none of these values holds a quote. With jq:
# jq -r .data.authorization
field() {
	printf '%s' "$creds" | sed -n 's/.*"'"$1"'":"\([^"]*\)".*/\1/p'
}
trap give_back EXIT

# The header is "authorization" as it stands, the host "api_domain".
request "Authorization: $(field authorization)" --write-out '\nHTTP %{http_code}\n' "$(field api_domain)$api"
