# A cluster as a module: what a platform team lets others ask for, and what it decides for all. The module configures no
# provider: the configuration that calls it says how hosts are reached. terraform test runs cluster.tftest.hcl, which
# needs no host.

terraform {
  required_version = ">= 1.11"
  required_providers {
    etcd = {
      source  = "etcd-on-hosts/etcd"
      version = "~> 0.1"
    }
  }
}

# Without these keys nobody can issue certificates for the cluster. The cluster's deletion_protection guards them too: it
# refuses the plan of a destroy as a whole. With prevent_destroy, terraform test could not clean up.
resource "etcd_pki" "this" {
  name     = var.name
  revoked  = var.revoked
  rotation = var.rotation
}

resource "etcd_cluster" "this" {
  name       = var.name
  version    = var.etcd_version
  pki        = etcd_pki.this.authority
  client_crl = etcd_pki.this.client_crl # clients can be revoked later without a restart
  members    = var.members

  settings = {
    quota_backend_bytes       = var.quota_gibibytes * pow(2, 30)
    auto_compaction_mode      = "periodic"
    auto_compaction_retention = "5m"
  }

  backup = var.backup == null ? null : {
    schedule   = var.backup.schedule
    recipients = var.backup.recipients
    directory  = var.backup.directory
    keep       = { hourly = 48, daily = 14, weekly = 8, verified = 0 } # the hosts cannot read what they encrypt
  }
}

# Each client keeps its own key, and gives a certificate request that it has made with that key.
resource "etcd_certificate" "client" {
  for_each = var.clients

  pki         = etcd_pki.this.client_authority
  common_name = each.key
  csr         = each.value.csr
}
