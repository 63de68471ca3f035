# Sets up a mount with one role, and the policy of the application that reads
# its tokens. The plugin's binary is in the server's plugin_directory before.

terraform {
  required_providers {
    vault = {
      source  = "hashicorp/vault"
      version = ">= 5.0"
    }
  }
}

variable "plugin_sha256" {
  description = "sha256 of the plugin's binary, from the release's checksums."
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
}

resource "vault_plugin" "zoho" {
  type    = "secret"
  name    = "vault-plugin-secrets-zoho"
  command = "vault-plugin-secrets-zoho"
  version = var.plugin_version
  sha256  = var.plugin_sha256
}

resource "vault_mount" "zoho" {
  path = "zoho"
  type = vault_plugin.zoho.name

  # What the audit log shows in clear: the list of docs/auditing.md. None is a secret.
  audit_non_hmac_response_keys = ["role", "token_id", "scopes", "data_center", "expires_at", "api_domain"]
}

# Secrets cannot be read back, so Terraform cannot see if they have changed:
# disable_read. It keeps what it writes in its state, client_secret among it;
# protect the state, or write the config by hand and leave this out.
resource "vault_generic_endpoint" "config" {
  path                 = "${vault_mount.zoho.path}/config"
  disable_read         = true
  ignore_absent_fields = true

  data_json = jsonencode({
    data_center   = "eu"
    client_id     = var.client_id
    client_secret = var.client_secret
  })
}

# With scopes alone: no refresh token passes through Terraform. A person
# consents in a browser, at the address that "vault write -f
# zoho/roles/crm-sync/authorize" answers.
resource "vault_generic_endpoint" "crm_sync" {
  depends_on           = [vault_generic_endpoint.config]
  path                 = "${vault_mount.zoho.path}/roles/crm-sync"
  disable_read         = true
  ignore_absent_fields = true

  data_json = jsonencode({
    scopes = ["ZohoCRM.modules.ALL", "ZohoCRM.org.READ"]
  })
}

resource "vault_policy" "crm_sync" {
  name   = "crm-sync"
  policy = file("${path.module}/../../policies/application.hcl")
}
