#!/bin/sh
# Reads a token, calls Zoho with it, and gives its lease back. If Zoho says that
# the token is dead, it reads another one and calls once more.
#
#   call-zoho.sh [ROLE [PATH OF THE API [MOUNT]]]
#
# It needs curl (7.76 or later), jq, VAULT_ADDR, and either VAULT_TOKEN or what
# `vault login` has left.
set -eu

role=${1:-crm-sync}
api=${2:-/crm/v8/org}
mount=${3:-zoho}
VAULT_TOKEN=${VAULT_TOKEN:-$(vault print token)}

# curl reads the header from stdin: every user can see arguments.
request() {
	header=$1
	shift
	printf '%s\n' "$header" | curl --silent --show-error --header @- "$@"
}

# A field of Vault's answer. sed or grep will not do: the role's metadata is in the
# answer, too, and a key in it can have any name.
field() {
	printf '%s' "$creds" | jq --raw-output --exit-status "$1"
}

# Whatever happens: a lease that is not needed any more is given back. The token
# is revoked at Zoho when nobody else holds it.
leases=
give_back() {
	for lease in $leases; do
		request "X-Vault-Token: $VAULT_TOKEN" --output /dev/null --data-urlencode "lease_id=$lease" \
			"$VAULT_ADDR/v1/sys/leases/revoke"
	done
}
trap give_back EXIT

read_creds() {
	creds=$(request "X-Vault-Token: $VAULT_TOKEN" --fail-with-body "$VAULT_ADDR/v1/$mount/creds/$role$1") || {
		echo "$creds" >&2 # what happened, and what to do
		exit 1
	}
	leases="$leases $(field .lease_id)"
}

# The header is "authorization" as it stands, the host "api_domain".
call() {
	authorization=$(field .data.authorization)
	url=$(field .data.api_domain)$api
	answer=$(request "Authorization: $authorization" --write-out '\nHTTP %{http_code}' --url "$url")
}

# A 401 can also mean that the token lacks a scope, against which no other helps.
is_dead() {
	case $answer in
	*'"INVALID_TOKEN"'*'HTTP 401' | *'"INVALID_OAUTHTOKEN"'*'HTTP 401' | *'"AUTHENTICATION_FAILURE"'*'HTTP 401') return 0 ;;
	*) return 1 ;;
	esac
}

read_creds ""
call
if is_dead; then
	read_creds "?reject=$(field .data.token_id)"
	call
fi
printf '%s\n' "$answer"
case $answer in
*'HTTP 2'??) ;;
*) exit 1 ;;
esac
