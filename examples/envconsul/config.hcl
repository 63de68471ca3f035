# envconsul starts a program with the token of the role crm-sync in its
# environment, and starts it again with the next one.
# Run it in this directory, with VAULT_ADDR and VAULT_TOKEN set:
# envconsul -config=config.hcl

# The signal on which it ends. Its own default is SIGINT; service managers and
# Kubernetes send this one.
kill_signal = "SIGTERM"

vault {
  renew_token = true
}

# Every field of the answer becomes a variable.
secret {
  path      = "zoho/creds/crm-sync"
  no_prefix = true

  format = "zoho_{{ key }}"
}

upcase = true # ZOHO_AUTHORIZATION, ZOHO_API_DOMAIN, ZOHO_TOKEN_ID, ...

exec {
  command     = "sh app.sh"
  kill_signal = "SIGTERM"
}
