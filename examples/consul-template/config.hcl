# consul-template keeps a file with the token of the role crm-sync up to date.
# Run it in this directory, with VAULT_ADDR and VAULT_TOKEN set:
# consul-template -config=config.hcl

# The signal on which it ends. Its own default is SIGINT; service managers and
# Kubernetes send this one.
kill_signal = "SIGTERM"

vault {
  # A Vault token that can be renewed is, until its max TTL. When it ends, its
  # leases end with it: use a periodic token, or let Vault Agent log in and
  # name its file here: vault_agent_token_file = "/run/vault/token"
  renew_token = true

  retry {
    attempts = 0 # no end: a file that is not renewed is of no use
  }
}

template {
  source               = "zoho.env.ctmpl"
  destination          = "zoho.env"
  perms                = "0600"
  error_on_missing_key = true

  exec {
    command = ["sh", "reload.sh"]
  }
}
