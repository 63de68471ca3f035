# A person with a role of their own, which has the name of the person's entity in
# Vault: consents to it at Zoho, reads its access tokens, and can take the consent
# back. Cannot write the role, and cannot do anything with the role of somebody else.
# docs/roles.md says how to make the roles. Vault puts the ID of whoever asks in the
# place of the braces.
#
# If the mount is elsewhere:
#
#   sed 's|zoho/|zoho-eu/|g' policies/person.hcl | vault policy write zoho-person -

path "zoho/roles/{{identity.entity.id}}/authorize" {
  capabilities = ["update"]
}

path "zoho/roles/{{identity.entity.id}}/status" {
  capabilities = ["read"]
}

path "zoho/roles/{{identity.entity.id}}/deauthorize" {
  capabilities = ["update"]
}

path "zoho/creds/{{identity.entity.id}}" {
  capabilities = ["read"]
}

# To end a lease before its time.
path "sys/leases/revoke/zoho/creds/{{identity.entity.id}}/*" {
  capabilities = ["update"]
}
