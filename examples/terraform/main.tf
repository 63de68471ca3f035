# Sets up a mount with one role, and the policy of the application that reads its tokens.
# For Terraform 1.10 or OpenTofu 1.11 and later.

terraform {
  required_version = ">= 1.10"

  required_providers {
    vault = {
      source  = "hashicorp/vault"
      version = ">= 5.9"
    }
  }
}

# The plugin's binary is in the plugin_directory of every server before. Each version has a file
# of its own, which nobody overwrites. To upgrade, set the three to the new version, apply, and
# then let the servers start it:
#
#   vault plugin reload -plugin=vault-plugin-secrets-zoho
variable "plugin_command" {
  description = "Name of the binary in the plugin_directory, such as vault-plugin-secrets-zoho_0.1.0."
  type        = string
}

variable "plugin_sha256" {
  description = "sha256 of the binary, from the release's checksums."
  type        = string
}

variable "plugin_version" {
  description = "Version of the plugin, with its v, as the binary says it."
  type        = string
}

variable "client_id" {
  description = "Client ID from Zoho's API console."
  type        = string
}

variable "client_secret" {
  description = "Its secret, of this data centre."
  type        = string
  sensitive   = true
  ephemeral   = true
}

resource "vault_plugin" "zoho" {
  type    = "secret"
  name    = "vault-plugin-secrets-zoho"
  command = var.plugin_command
  version = var.plugin_version
  sha256  = var.plugin_sha256

  # The mount moves to the new version before Vault loses the old one. Otherwise it would stay
  # with a version that Vault cannot start any more.
  lifecycle {
    create_before_destroy = true
  }
}

resource "vault_mount" "zoho" {
  path           = "zoho"
  type           = vault_plugin.zoho.name
  plugin_version = vault_plugin.zoho.version

  # What the audit log shows in clear: the list of docs/auditing.md. None is a secret.
  audit_non_hmac_response_keys = ["role", "token_id", "scopes", "data_center", "expires_at", "api_domain"]
}

# Each plan and each apply writes this, and asks Zoho only if the secret is another one. It is
# ephemeral, so neither the state nor a plan has the secret.
ephemeral "vault_generic_endpoint" "config" {
  mount_id = vault_mount.zoho.id # only when there is a mount
  path     = "zoho/config"

  data_json = jsonencode({
    data_center   = "eu"
    client_id     = var.client_id
    client_secret = var.client_secret
    redirect_uri  = "https://vault.example.com/v1/zoho/callback"
  })
}

# With scopes alone: no refresh token passes through Terraform. A person consents in a browser,
# at the address that this command prints:
#
#   vault write -f zoho/roles/crm-sync/authorize
#
# Terraform compares the fields that are here with those of the role. Write durations as seconds,
# as Vault answers them: "15m" would be a difference in each plan.
#
# The engine revokes the refresh token of a role that is deleted, when nobody leases its access
# tokens any more. A destroy may take the mount away before that. So before it:
#
#   vault write -f zoho/roles/crm-sync/deauthorize
resource "vault_generic_endpoint" "crm_sync" {
  depends_on           = [ephemeral.vault_generic_endpoint.config]
  path                 = "${vault_mount.zoho.path}/roles/crm-sync"
  ignore_absent_fields = true

  data_json = jsonencode({
    scopes  = ["ZohoCRM.modules.ALL", "ZohoCRM.org.READ"]
    min_ttl = 900
  })
}

resource "vault_policy" "crm_sync" {
  name   = "crm-sync"
  policy = file("${path.module}/../../policies/application.hcl")
}
