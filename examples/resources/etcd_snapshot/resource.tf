variable "release" {
  type    = string
  default = "v1"
}

resource "etcd_pki" "prod" {
  name = "prod"
}

resource "etcd_cluster" "prod" {
  name = "prod"
  pki  = etcd_pki.prod.authority
  members = {
    a = { address = "192.0.2.11", host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE0bOf8XaFpOcsXEPhDdRJ4hmsx/oY9LHYmwQGy4T9pk" }
    b = { address = "192.0.2.12", host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILRVj/nqpIiL+/KpimHTs4tK9XPyuJck6ETJvUjNrhvc" }
    c = { address = "192.0.2.13", host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDL+fdI4IAYBcPJkYoeru7pO7bbvmfbJhhUBgH1MsP/1" }
  }
}

# The host sends it over SSH into a file here. For each release another snapshot replaces it.
resource "etcd_snapshot" "before_release" {
  cluster = {
    name    = etcd_cluster.prod.name
    owner   = etcd_cluster.prod.owner
    members = etcd_cluster.prod.members
  }
  file     = "before-release.db"
  triggers = { release = var.release }
}
