#!/bin/sh
# Reads a token, calls Zoho with it, and gives its lease back. If Zoho says that
# the token is dead, it reads another one and calls once more.
#
#   call-zoho.sh [ROLE [PATH OF THE API [MOUNT]]]
#
# It needs curl, a `date` that knows -d (GNU, BusyBox), VAULT_ADDR, and either
# VAULT_TOKEN or what `vault login` has left.
set -eu

role=${1:-crm-sync}
api=${2:-/crm/v8/org}
mount=${3:-zoho}
VAULT_TOKEN=${VAULT_TOKEN:-$(vault print token)}

# curl reads headers from stdin: arguments can be seen by every user.
request() {
	header=$1
	shift
	printf 'header = "%s"\n' "$header" | curl --silent --show-error --config - "$@"
}

# Vault answers in one line, and none of these values holds a quote. With jq:
# jq -r .data.authorization
field() {
	printf '%s' "$creds" | sed -n 's/.*"'"$1"'":"\([^"]*\)".*/\1/p'
}

# Whatever happens: a lease that is not needed any more is given back. The token
# is revoked at Zoho when nobody else holds it.
leases=
give_back() {
	for lease in $leases; do
		request "X-Vault-Token: $VAULT_TOKEN" --output /dev/null --data "lease_id=$lease" \
			"$VAULT_ADDR/v1/sys/leases/revoke"
	done
}
trap give_back EXIT

read_creds() {
	creds=$(request "X-Vault-Token: $VAULT_TOKEN" --fail-with-body "$VAULT_ADDR/v1/$mount/creds/$role$1") || {
		echo "$creds" >&2 # what happened, and what to do
		exit 1
	}
	leases="$leases $(field lease_id)"
}

# The header is "authorization" as it stands, the host "api_domain".
call() {
	answer=$(request "Authorization: $(field authorization)" --write-out '\nHTTP %{http_code}' "$(field api_domain)$api")
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
	# More time than the dead one has left, so that it is not handed out again.
	expires=$(date -u -d "$(field expires_at | tr 'TZ' '  ')" +%s)
	read_creds "?min_ttl=$((expires - $(date +%s) + 1))s"
	call
fi
printf '%s\n' "$answer"
case $answer in
*'HTTP 2'??) ;;
*) exit 1 ;;
esac
