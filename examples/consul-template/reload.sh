#!/bin/sh
# Stands for the reload of your application. token_id names the token in logs,
# and cannot be used in its place.
. ./zoho.env
echo "reloaded with token $ZOHO_TOKEN_ID" >>reload.log
