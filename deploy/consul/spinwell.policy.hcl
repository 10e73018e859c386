# What a gateway or node may do: register its own services and read who else is there.
#   consul acl policy create -name spinwell -rules @spinwell.policy.hcl
#   consul acl token create -policy-name spinwell
# HAProxy asks by DNS: give the agents' default token `service_prefix "spinwell-" { policy = "read" }` and the node rule.
service_prefix "spinwell-" {
  policy = "write"
}
node_prefix "" {
  policy = "read"
}
