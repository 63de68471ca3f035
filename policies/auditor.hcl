# An auditor: finds out who was given which access token, and ends one. Reads no
# access token and changes neither config nor roles. The audit log is a file, to
# which Vault's policies do not apply.
#
# If the mount is elsewhere:
#
#   sed 's|zoho/|zoho-eu/|g' policies/auditor.hcl | vault policy write zoho-auditor -

path "zoho/tokens" {
  capabilities = ["list"]
}

# Delete revokes the access token at Zoho, whoever holds it.
path "zoho/tokens/+" {
  capabilities = ["read", "delete"]
}

path "zoho/tokens/lookup" {
  capabilities = ["update"]
}

path "zoho/config" {
  capabilities = ["read"]
}

path "zoho/roles" {
  capabilities = ["list"]
}

path "zoho/roles/+" {
  capabilities = ["read"]
}

path "zoho/roles/+/status" {
  capabilities = ["read"]
}

# How many refresh tokens of each client there are.
path "zoho/clients" {
  capabilities = ["list"]
}

path "zoho/info" {
  capabilities = ["read"]
}

# Who an entity_id is.
path "identity/entity/id/+" {
  capabilities = ["read"]
}

path "identity/entity/name/+" {
  capabilities = ["read"]
}

# What a value is called in the audit log: see docs/auditing.md. "file" is the
# audit device.
path "sys/audit-hash/file" {
  capabilities = ["update"]
}
