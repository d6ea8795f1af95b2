# Tests of the module: terraform init && terraform test. A mocked provider reaches no host and answers at once. It
# validates arguments as the real provider does, so host keys and recipients have to be well-formed.

mock_provider "etcd" {
  mock_resource "etcd_cluster" {
    defaults = {
      endpoints = ["https://192.0.2.11:2379", "https://192.0.2.12:2379", "https://192.0.2.13:2379"]
    }
  }
}

variables {
  name = "prod"
  members = {
    a = { address = "192.0.2.11", host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE0bOf8XaFpOcsXEPhDdRJ4hmsx/oY9LHYmwQGy4T9pk", zone = "r1" }
    b = { address = "192.0.2.12", host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILRVj/nqpIiL+/KpimHTs4tK9XPyuJck6ETJvUjNrhvc", zone = "r2" }
    c = { address = "192.0.2.13", host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDL+fdI4IAYBcPJkYoeru7pO7bbvmfbJhhUBgH1MsP/1", zone = "r3" }
  }
}

run "three_members_in_three_zones" {
  assert {
    condition     = etcd_cluster.this.settings.quota_backend_bytes == 8589934592
    error_message = "The quota is not 8 GiB by default."
  }

  assert {
    condition     = etcd_cluster.this.backup == null
    error_message = "There are backups that nobody has asked for."
  }

  assert {
    condition     = length(output.endpoints) == 3
    error_message = "The module does not hand out the endpoints."
  }
}

run "backups_are_encrypted" {
  command = plan

  variables {
    backup = { directory = "/var/backups/etcd", recipients = ["age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"] }
  }

  assert {
    condition     = length(etcd_cluster.this.backup.recipients) == 1 && etcd_cluster.this.backup.schedule == "hourly"
    error_message = "The recipients, or the schedule, do not reach the cluster."
  }
}

run "backups_in_the_clear_are_refused" {
  command = plan

  variables {
    backup = { directory = "/var/backups/etcd", recipients = [] }
  }

  expect_failures = [var.backup]
}

run "two_members_are_refused" {
  command = plan

  variables {
    members = {
      a = { address = "192.0.2.11", host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE0bOf8XaFpOcsXEPhDdRJ4hmsx/oY9LHYmwQGy4T9pk", zone = "r1" }
      b = { address = "192.0.2.12", host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILRVj/nqpIiL+/KpimHTs4tK9XPyuJck6ETJvUjNrhvc", zone = "r2" }
    }
  }

  expect_failures = [var.members]
}

run "a_zone_with_a_quorum_is_refused" {
  command = plan

  variables {
    members = {
      a = { address = "192.0.2.11", host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE0bOf8XaFpOcsXEPhDdRJ4hmsx/oY9LHYmwQGy4T9pk", zone = "r1" }
      b = { address = "192.0.2.12", host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILRVj/nqpIiL+/KpimHTs4tK9XPyuJck6ETJvUjNrhvc", zone = "r1" }
      c = { address = "192.0.2.13", host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDL+fdI4IAYBcPJkYoeru7pO7bbvmfbJhhUBgH1MsP/1", zone = "r2" }
    }
  }

  expect_failures = [var.members]
}

run "another_major_version_is_refused" {
  command = plan

  variables {
    etcd_version = "4.0"
  }

  expect_failures = [var.etcd_version]
}

run "clients_hand_in_requests" {
  variables {
    clients = { api-server = { csr = "-----BEGIN CERTIFICATE REQUEST-----" } }
  }

  assert {
    condition     = join(", ", keys(output.certificates)) == "api-server" && etcd_certificate.client["api-server"].common_name == "api-server"
    error_message = "The client's certificate is not that of its name."
  }
}
