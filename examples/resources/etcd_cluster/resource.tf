resource "etcd_pki" "prod" {
  name = "prod"
}

resource "etcd_cluster" "prod" {
  name    = "prod"
  version = "3.7"
  pki     = etcd_pki.prod.authority # write-only: no key enters this resource's state

  client_crl = etcd_pki.prod.client_crl # clients can be revoked later without a restart

  # host_key is what the host has in /etc/ssh/ssh_host_ed25519_key.pub.
  members = {
    a = {
      address  = "192.0.2.11"
      host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE0bOf8XaFpOcsXEPhDdRJ4hmsx/oY9LHYmwQGy4T9pk"
      zone     = "r1"
    }
    b = {
      address  = "192.0.2.12"
      host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILRVj/nqpIiL+/KpimHTs4tK9XPyuJck6ETJvUjNrhvc"
      zone     = "r2"
    }
    c = {
      address  = "192.0.2.13"
      host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDL+fdI4IAYBcPJkYoeru7pO7bbvmfbJhhUBgH1MsP/1"
      zone     = "r3"
    }
  }

  settings = {
    quota_backend_bytes       = 8589934592 # 8 GiB
    auto_compaction_mode      = "periodic"
    auto_compaction_retention = "5m"
  }
}

output "endpoints" {
  value = etcd_cluster.prod.endpoints
}
