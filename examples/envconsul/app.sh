#!/bin/sh
# Stands for your program. It calls Zoho once, and then works until it is told
# to end, which envconsul does when there is a new token.
trap 'exit 0' TERM

# curl reads the header from stdin: arguments can be seen by every user.
status=$(printf 'header = "Authorization: %s"\n' "$ZOHO_AUTHORIZATION" |
	curl --silent --config - --output /dev/null --write-out '%{http_code}' "$ZOHO_API_DOMAIN/crm/v8/org")
echo "token $ZOHO_TOKEN_ID: HTTP $status"

while :; do
	sleep 1
done
