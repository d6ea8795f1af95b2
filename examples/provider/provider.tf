terraform {
  required_providers {
    etcd = {
      source  = "etcd-on-hosts/etcd"
      version = "~> 0.1" # and .terraform.lock.hcl under version control: another release may restart members
    }
  }
}

provider "etcd" {
  ssh = {
    user             = "ops" # sudo is used where the user is not root
    private_key_file = "~/.ssh/id_ed25519"
  }
  progress_log = "etcd-progress.log" # a line for each step: follow it with tail -f
}
