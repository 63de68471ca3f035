# An operator: writes the config and the roles, sees how they are, and repairs
# them. Reads no access token, and does not need to: roles/:name/status tells
# whether a role works.
#
# If the mount is elsewhere:
#
#   sed 's|zoho/|zoho-eu/|g' policies/operator.hcl | vault policy write zoho-operator -

path "zoho/config" {
  capabilities = ["create", "read", "update", "patch", "delete"]
}

path "zoho/roles" {
  capabilities = ["list"]
}

# A "+" is one name: what is further down has to be allowed by itself.
path "zoho/roles/+" {
  capabilities = ["create", "read", "update", "patch", "delete"]
}

path "zoho/roles/+/status" {
  capabilities = ["read"]
}

path "zoho/roles/+/authorize" {
  capabilities = ["update"]
}

path "zoho/roles/+/deauthorize" {
  capabilities = ["update"]
}

path "zoho/roles/+/rotate" {
  capabilities = ["update"]
}

# For a leaked access token: whose it is, and to end it now. Whoever is called at
# night has to be able to do all of docs/troubleshooting.md.
path "zoho/tokens" {
  capabilities = ["list"]
}

path "zoho/tokens/+" {
  capabilities = ["read", "delete"]
}

path "zoho/tokens/lookup" {
  capabilities = ["update"]
}

# How many refresh tokens of each client there are.
path "zoho/clients" {
  capabilities = ["list"]
}

path "zoho/info" {
  capabilities = ["read"]
}
