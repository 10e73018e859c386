# A Consul agent beside each gateway and node, in client mode. Servers are not here: three or five of them, as Consul's own
# documentation says. Works with Consul 1.8 and newer.

# Where what the agent knows outlives a restart. Without it, an agent that restarts takes its members off the list for the
# moment until they register again.
data_dir = "/var/lib/consul"

# The servers.
retry_join = ["consul-1.internal", "consul-2.internal", "consul-3.internal"]

# What other agents and servers reach, and what programs on this machine do. The HTTP API is never open to others: whoever can use
# it can register gateways.
bind_addr   = "{{ GetPrivateIP }}"
client_addr = "127.0.0.1"

ports {
  # The registry (`registry.consul_url`) and HAProxy (`SPINWELL_EDGE_DNS`) look here.
  http = 8500
  dns  = 8600
}

# A machine that is shut down leaves; an agent that is restarted does not.
leave_on_terminate = false

dns_config {
  # Members that are critical are in no answer; those that warn are, with a tenth of the weight.
  only_passing = false
  # No answer is older than HAProxy's own hold.
  service_ttl { "*" = "0s" }
  # More than fits into one datagram of 8,192 bytes is not needed: 20 gateways do.
  udp_answer_limit = 20
  # Also while the servers elect a leader, from what they had.
  allow_stale = true
  max_stale   = "60s"
}

# With ACLs, the agent's own token belongs here, and that of `spinwell.policy.hcl` into Spinwell's options.
acl {
  enabled        = true
  default_policy = "deny"
  # While the servers cannot be asked, what was allowed stays so.
  down_policy    = "extend-cache"
}

telemetry {
  prometheus_retention_time = "60s"
  disable_hostname          = true
}
