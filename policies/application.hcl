# An application: reads access tokens of its roles, and gives them back.
#
# Replace crm-sync by the application's role, with one block for each role that
# it reads, and zoho if the mount is elsewhere:
#
#   sed 's|zoho/|zoho-eu/|g; s|crm-sync|books-export|g' policies/application.hcl | vault policy write books-export -

# update is the same as read, with the parameters in a body.
path "zoho/creds/crm-sync" {
  capabilities = ["read", "update"]
}

# To end a lease before its time. Renewing is of no use: Zoho cannot extend a token.
# Vault prefers a lease_id in the body to the one in the path, so each rule limits the
# body, too. Without allowed_parameters it would end any lease whose ID is known: of
# other roles, of other mounts, and the logins of other users.
path "sys/leases/revoke" {
  capabilities        = ["update"]
  required_parameters = ["lease_id"]
  allowed_parameters = {
    "lease_id" = ["zoho/creds/crm-sync/*"]
    "sync"     = []
  }
}

path "sys/leases/revoke/zoho/creds/crm-sync/*" {
  capabilities = ["update"]
  allowed_parameters = {
    "sync" = []
  }
}

# The same under its former name, which some clients still use, such as Ruby's.
path "sys/revoke" {
  capabilities        = ["update"]
  required_parameters = ["lease_id"]
  allowed_parameters = {
    "lease_id" = ["zoho/creds/crm-sync/*"]
    "sync"     = []
  }
}

path "sys/revoke/zoho/creds/crm-sync/*" {
  capabilities = ["update"]
  allowed_parameters = {
    "sync" = []
  }
}
