# A cluster on machines that the same configuration makes. To replace a machine that has failed, raise its generation,
# or run terraform apply -replace='terraform_data.machine["c"]': one apply makes the new machine, and gives it the
# member's place in the cluster.
#
# terraform_data stands for the machine resource of your cloud or hypervisor, and its output for the address that such
# a resource gives once the machine is there.

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
    private_key     = var.ssh_private_key
    host_ca         = var.ssh_host_ca # has signed the key of every machine, so that a new one is trusted without a pin
    connect_timeout = "1m"            # a machine that has just been made is still booting
  }
}

variable "ssh_private_key" {
  description = "The key to log in with."
  type        = string
  sensitive   = true
  ephemeral   = true
}

variable "ssh_host_ca" {
  description = "Public key of the authority that signs the machines' SSH host keys."
  type        = string
  default     = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOnJKtT5X1LNPYHeipMSErRJnu98xhdkJyTRo9AshNct"
}

variable "machines" {
  description = "The machines, by the name of the member that each is to carry."
  type        = map(object({ address = string, generation = number }))
  default = {
    a = { address = "192.0.2.11", generation = 1 }
    b = { address = "192.0.2.12", generation = 1 }
    c = { address = "192.0.2.13", generation = 1 }
  }
}

resource "terraform_data" "machine" {
  for_each = var.machines

  input            = each.value.address
  triggers_replace = each.value.generation

  # Terraform makes the new machine first, then changes the cluster, and destroys the old machine last. So a healthy
  # member hands over before it leaves, and the cluster never has fewer members. Without this, Terraform destroys the
  # old machine first, and the cluster has one member less until the new one has joined.
  lifecycle {
    create_before_destroy = true
  }
}

resource "etcd_pki" "prod" {
  name = "prod"
}

resource "etcd_cluster" "prod" {
  name       = "prod"
  version    = "3.7"
  pki        = etcd_pki.prod.authority
  client_crl = etcd_pki.prod.client_crl # clients can be revoked later without a restart

  # The names are known before apply, and the address of a machine that is about to be made is not. The provider takes
  # such a machine for a member that moves, and refuses a plan that makes two of three machines anew.
  members = {
    for name, machine in terraform_data.machine : name => { address = machine.output }
  }
}
