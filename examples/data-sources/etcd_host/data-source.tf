# terraform_data stands for the resource of your cloud or hypervisor that makes a machine. Terraform reads the host once
# the machine is there, before anything else uses it. Remove the data source once a member is on the host: its conditions
# fail every plan while the host is down, also the plan that repairs the cluster.
resource "terraform_data" "machine" {
  input = "192.0.2.14"
}

data "etcd_host" "new" {
  address  = terraform_data.machine.output
  host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE0bOf8XaFpOcsXEPhDdRJ4hmsx/oY9LHYmwQGy4T9pk"
  paths    = ["/var/lib/etcd", "/srv/backups"]

  lifecycle {
    postcondition {
      condition     = alltrue([for f in self.findings : f.severity != "error"])
      error_message = join("\n", [for f in self.findings : "${f.id}: ${f.text}; ${f.remedy}"])
    }
    postcondition {
      condition     = coalesce(self.filesystems["/var/lib/etcd"].disk_kind, "ssd") != "hdd"
      error_message = "etcd's data has to be on an SSD."
    }
  }
}
