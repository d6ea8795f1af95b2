resource "etcd_pki" "prod" {
  name = "prod"
}

resource "etcd_cluster" "prod" {
  name    = "prod"
  version = "3.7"
  pki     = etcd_pki.prod.authority # write-only: no key enters this resource's state

  members = {
    a = { address = "192.0.2.11", host_key = var.host_keys["a"], zone = "r1" }
    b = { address = "192.0.2.12", host_key = var.host_keys["b"], zone = "r2" }
    c = { address = "192.0.2.13", host_key = var.host_keys["c"], zone = "r3" }
  }

  settings = {
    quota_backend_bytes       = 8589934592
    auto_compaction_mode      = "periodic"
    auto_compaction_retention = "5m"
  }
}

variable "host_keys" {
  description = "Host keys of the members, as in /etc/ssh/ssh_host_ed25519_key.pub."
  type        = map(string)
}

output "endpoints" {
  value = etcd_cluster.prod.endpoints
}
