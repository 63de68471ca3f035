# Vault Agent keeps a file with the token of the role crm-sync up to date.
# Run it in this directory, with VAULT_ADDR set: vault agent -config=agent.hcl

# Agent logs in by itself, and again before its own token ends. AppRole stands for whatever
# your machines log in with. Once, somebody who may sets it up, and makes the two files:
#
#   vault auth enable approle
#   vault write auth/approle/role/crm-sync token_policies=crm-sync
#   vault read -field=role_id auth/approle/role/crm-sync/role-id >role-id
#   (umask 077 && vault write -f -field=secret_id auth/approle/role/crm-sync/secret-id >secret-id)
#
# The policy crm-sync is in policies/application.hcl.
auto_auth {
  method "approle" {
    config = {
      role_id_file_path   = "role-id"
      secret_id_file_path = "secret-id" # Agent deletes it after the first login: make a new one before Agent starts again
    }
  }
}

# Better to end, and be started again by the service manager, than to run on
# with a file that nobody renews.
template_config {
  exit_on_retry_failure = true
}

template {
  source               = "zoho.env.ctmpl"
  destination          = "zoho.env"
  perms                = "0600" # the token is good for an hour to whoever reads it
  error_on_missing_key = true   # rather no file than one without a token

  # Here your application is told to read the file again, for example with
  # ["systemctl", "reload", "crm-sync"]. An application that opens the file for
  # each call needs nothing.
  exec {
    command = ["sh", "reload.sh"]
  }
}
