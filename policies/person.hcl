# A person with a role of their own, which has the name of the person's entity in
# Vault: consents to it at Zoho, reads its access tokens, and can take the consent
# back. Cannot write the role, and cannot do anything with the role of somebody else.
# docs/roles.md says how to make the roles. Vault puts the ID of whoever asks in the
# place of the braces.
#
# If the mount is elsewhere:
#
#   sed 's|zoho/|zoho-eu/|g' policies/person.hcl | vault policy write zoho-person -

# With no other parameter than how to be asked: the role says what to ask for.
path "zoho/roles/{{identity.entity.id}}/authorize" {
  capabilities       = ["update"]
  allowed_parameters = { "method" = [] }
}

path "zoho/roles/{{identity.entity.id}}/status" {
  capabilities = ["read"]
}

# Without force=true, which would end the refresh token also if roles of others have it.
path "zoho/roles/{{identity.entity.id}}/deauthorize" {
  capabilities      = ["update"]
  denied_parameters = { "*" = [] }
}

path "zoho/creds/{{identity.entity.id}}" {
  capabilities = ["read", "update"]
}

# To end a lease before its time. Vault prefers a lease_id in the body to the one in
# the path, so the body may not have one: it could be anybody's. Vault does not replace
# the braces in parameters, so a client has to send the ID in the path, as `vault lease
# revoke` does.
path "sys/leases/revoke/zoho/creds/{{identity.entity.id}}/*" {
  capabilities = ["update"]
  allowed_parameters = {
    "sync" = []
  }
}

# The same under its former name, which some clients still use, such as Ruby's.
path "sys/revoke/zoho/creds/{{identity.entity.id}}/*" {
  capabilities = ["update"]
  allowed_parameters = {
    "sync" = []
  }
}
