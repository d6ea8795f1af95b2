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

  backup = {
    schedule  = "hourly"
    directory = "/srv/backups"
  }
}

data "etcd_backups" "prod" {
  cluster = {
    name    = etcd_cluster.prod.name
    owner   = etcd_cluster.prod.owner
    members = etcd_cluster.prod.members
  }
}

# A check, and no output: an output changes with every backup, so that plan -detailed-exitcode ends with 2.
check "backed_up" {
  assert {
    condition     = length(data.etcd_backups.prod.backups) > 0
    error_message = "No backup of cluster prod has been made yet."
  }
}
