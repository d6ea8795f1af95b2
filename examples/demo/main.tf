# Three booted hosts, one apply, a cluster. up.sh writes the hosts' addresses and host keys into
# demo.auto.tfvars.json.

terraform {
  required_version = ">= 1.11"
  required_providers {
    etcd = {
      source  = "etcd-on-hosts/etcd"
      version = "~> 0.1"
    }
  }
}

provider "etcd" {
  ssh = {
    user             = "root"
    private_key_file = var.private_key_file
  }
  progress_log = "progress.log"
}

variable "private_key_file" {
  description = "The key that logs in to the hosts."
  type        = string
}

variable "hosts" {
  description = "The hosts, by the name of the member that each is to carry."
  type = map(object({ # Terraform drops what is missing here
    address     = string
    host_key    = optional(string)
    host_ca     = optional(string)
    ssh_address = optional(string)
    ssh_port    = optional(number)
    ssh_user    = optional(string)
    zone        = optional(string)
    rebuild     = optional(string)
  }))
}

resource "etcd_pki" "demo" {
  name = "demo"
}

resource "etcd_cluster" "demo" {
  name                = "demo"
  pki                 = etcd_pki.demo.authority
  client_crl          = etcd_pki.demo.client_crl # clients can be revoked later without a restart
  members             = var.hosts
  deletion_protection = false # a demo is there to be destroyed

  settings = {
    auto_compaction_mode      = "periodic"
    auto_compaction_retention = "5m"
  }
}

resource "etcd_certificate" "operator" {
  pki              = etcd_pki.demo.client_authority
  common_name      = "root"
  private_key_file = "client.key" # made here, 0600, never in state
  certificate_file = "client.crt"
}

output "members" {
  value = etcd_cluster.demo.members
}

output "endpoints" {
  value = join(",", etcd_cluster.demo.endpoints)
}

output "ca_certificate" {
  value = etcd_cluster.demo.client_ca_certificate
}
