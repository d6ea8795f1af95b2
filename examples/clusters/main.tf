# Several clusters of one shape, by the module in ../module. Each entry of the variable clusters is one cluster.

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
    user        = "ops"
    private_key = var.ssh_private_key
  }
  progress_log = "progress.log"
}

variable "ssh_private_key" {
  description = "The key to log in with."
  type        = string
  sensitive   = true
  ephemeral   = true
}

variable "clusters" {
  description = "The clusters, by name, with their members."
  type = map(object({
    members = map(object({ # as in ../module, or Terraform drops what is missing here
      address     = string
      host_key    = string
      host_ca     = optional(string)
      ssh_address = optional(string)
      ssh_port    = optional(number)
      ssh_user    = optional(string)
      zone        = string
      rebuild     = optional(string)
    }))
  }))
}

module "etcd" {
  source   = "../module"
  for_each = var.clusters

  name    = each.key
  members = each.value.members
}

output "endpoints" {
  value = { for name, cluster in module.etcd : name => cluster.endpoints }
}
