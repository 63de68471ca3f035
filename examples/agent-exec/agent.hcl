# Vault Agent starts a program with a token in its environment, and starts it
# again with the next one. It is for programs that cannot read a file again, and
# needs the Agent of Vault 1.14 or newer.
# Run it in this directory, with VAULT_ADDR set: vault agent -config=agent.hcl

auto_auth {
  method "approle" {
    config = {
      role_id_file_path   = "role-id"
      secret_id_file_path = "secret-id" # Agent deletes it after the first login
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
