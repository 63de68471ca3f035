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

# The fields that become variables. Without them every field would, the access token twice,
# and envconsul would warn at each read that it skips scopes and role_metadata, which are
# no texts. It ignores them if there is a format of the whole secret.
secret {
  path      = "zoho/creds/crm-sync"
  no_prefix = true

  key {
    name   = "authorization"
    format = "ZOHO_AUTHORIZATION"
  }

  key {
    name   = "api_domain"
    format = "ZOHO_API_DOMAIN"
  }

  key {
    name   = "token_id"
    format = "ZOHO_TOKEN_ID"
  }
}

exec {
  # A list: envconsul would run a text in a shell, which ends at once, and start the next
  # program while the former one is still ending.
  command      = ["sh", "app.sh"]
  kill_signal  = "SIGTERM"
  kill_timeout = "30s" # then it kills the program, and starts the next one
}
