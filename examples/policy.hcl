# What an application needs, and no more: the tokens of its role.
path "zoho/creds/crm-sync" {
  capabilities = ["read"]
}

# To give a lease back when it is done. A lease is found by its ID alone, which
# is random and known to its reader. Without this a program can revoke its own
# Vault token at the end, and all its leases with it, which Vault's default
# policy allows.
path "sys/leases/revoke" {
  capabilities = ["update"]
}
