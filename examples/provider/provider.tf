terraform {
  required_providers {
    etcd = {
      source = "etcd-on-hosts/etcd"
    }
  }
}

provider "etcd" {
  ssh = {
    user             = "ops" # sudo is used where the user is not root
    private_key_file = "~/.ssh/id_ed25519"
  }
  progress_log = "etcd-progress.log" # a line a step: follow it with tail -f
}
