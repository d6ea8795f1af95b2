# The configuration of a pipeline. The hosts are behind a bastion, and have SSH host certificates. The pipeline's key is
# a variable of one run (TF_VAR_ssh_private_key), which no plan and no state holds. A scheduled job runs repair.sh;
# github-actions.yml and gitlab-ci.yml are such jobs. Their runs share a state: add a backend that has locks.

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
    user        = "ops" # sudo is used where the user is not root
    private_key = var.ssh_private_key
    host_ca     = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOnJKtT5X1LNPYHeipMSErRJnu98xhdkJyTRo9AshNct"

    bastion = {
      address  = "bastion.example.com"
      host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGiCWGFwVkjrgYgLcBqo7nieiPfEYBuAwSbz1FhFJJRa"
    }
  }
  progress_log = "progress.log" # a line for each step, for the job to keep
}

variable "ssh_private_key" {
  description = "The pipeline's key, from its store of secrets."
  type        = string
  sensitive   = true
  ephemeral   = true
}

resource "etcd_pki" "prod" {
  name = "prod"
}

resource "etcd_cluster" "prod" {
  name       = "prod"
  pki        = etcd_pki.prod.authority
  client_crl = etcd_pki.prod.client_crl # clients can be revoked later without a restart

  members = {
    a = { address = "a.etcd.example.com", zone = "r1" }
    b = { address = "b.etcd.example.com", zone = "r2" }
    c = { address = "c.etcd.example.com", zone = "r3" }
  }
}

# For the pipeline to raise an alarm over.
check "healthy" {
  assert {
    condition     = etcd_cluster.prod.status == "healthy"
    error_message = "Cluster prod is ${etcd_cluster.prod.status}."
  }
}
