# A monitoring system, such as Prometheus: reads the metrics, and nothing else. They
# name roles and client IDs, and hold no secret.
#
# If the mount is elsewhere:
#
#   sed 's|zoho/|zoho-eu/|g' policies/monitor.hcl | vault policy write zoho-monitor -

path "zoho/metrics" {
  capabilities = ["read"]
}
