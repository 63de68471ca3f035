module vault-plugin-secrets-zoho/tools/licences

go 1.25.0

require github.com/google/licensecheck v0.3.1
