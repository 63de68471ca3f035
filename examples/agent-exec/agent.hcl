# Vault Agent starts a program with a token in its environment, and starts it
# again with the next one. It is for programs that cannot read a file again, and
# needs the Agent of Vault 1.14 or newer.
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

template_config {
  exit_on_retry_failure = true
}

# Templates with the same secret share one read, and so one lease.
env_template "ZOHO_AUTHORIZATION" {
  contents             = "{{ with secret \"zoho/creds/crm-sync\" }}{{ .Data.authorization }}{{ end }}"
  error_on_missing_key = true
}

env_template "ZOHO_API_DOMAIN" {
  contents             = "{{ with secret \"zoho/creds/crm-sync\" }}{{ .Data.api_domain }}{{ end }}"
  error_on_missing_key = true
}

env_template "ZOHO_TOKEN_ID" {
  contents             = "{{ with secret \"zoho/creds/crm-sync\" }}{{ .Data.token_id }}{{ end }}"
  error_on_missing_key = true
}

exec {
  command                   = ["sh", "app.sh"]
  restart_on_secret_changes = "always"
  restart_stop_signal       = "SIGTERM"
}
