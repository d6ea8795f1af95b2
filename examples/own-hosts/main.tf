# A cluster on three hosts of your own: fill in terraform.tfvars as below, then init and apply.
#
#   hosts = {
#     a = { address = "192.0.2.11", host_key = "ssh-ed25519 AAAA..." } # its /etc/ssh/ssh_host_ed25519_key.pub
#     b = { address = "192.0.2.12", host_key = "ssh-ed25519 AAAA..." }
#     c = { address = "192.0.2.13", host_key = "ssh-ed25519 AAAA..." }
#   }

terraform {
  required_version = ">= 1.11"
  required_providers {
    etcd = {
      source  = "etcd-on-hosts/etcd"
      version = "~> 0.1" # and .terraform.lock.hcl under version control: another release may restart members
    }
  }
}

provider "etcd" {
  ssh = {
    user             = var.user
    private_key_file = var.private_key_file
  }
  progress_log = "progress.log"
}

variable "user" {
  description = "Who logs in to the hosts: root, or a user with sudo."
  type        = string
  default     = "root"
}

variable "private_key_file" {
  description = "The key to log in with."
  type        = string
  default     = "~/.ssh/id_ed25519"
}

variable "hosts" {
  description = "The hosts, by the name of the member that each is to carry."
  # Terraform silently drops attributes that this type lacks, so it has all attributes of a member.
  type = map(object({
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

resource "etcd_pki" "prod" {
  name = "prod"

  lifecycle {
    prevent_destroy = true
  }
}

resource "etcd_cluster" "prod" {
  name       = "prod"
  version    = "3.7"
  pki        = etcd_pki.prod.authority
  client_crl = etcd_pki.prod.client_crl # clients can be revoked later without a restart
  members    = var.hosts

  settings = {
    quota_backend_bytes       = 8589934592 # 8 GiB
    auto_compaction_mode      = "periodic"
    auto_compaction_retention = "5m"
  }
}

resource "etcd_certificate" "operator" {
  pki                 = etcd_pki.prod.client_authority
  common_name         = "root"
  private_key_file    = "operator.key" # made here, 0600, never in state
  certificate_file    = "operator.crt"
  ca_certificate_file = "ca.crt"
}

output "etcdctl" {
  value = "etcdctl --cacert ca.crt --cert operator.crt --key operator.key --endpoints ${join(",", etcd_cluster.prod.endpoints)}"
}
