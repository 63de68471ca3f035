module vault-plugin-secrets-zoho/tools/vulnerabilities

go 1.26.0
