# A cluster as a module: what a platform team lets others ask for, and what it decides for all. It configures no provider,
# so that whoever calls it says how hosts are reached. cluster.tftest.hcl tests it with no host: terraform test.

terraform {
  required_version = ">= 1.11"
  required_providers {
    etcd = {
      source  = "etcd-on-hosts/etcd"
      version = "~> 0.1"
    }
  }
}

# Whoever loses these keys can issue no certificate to the cluster any more. The cluster's deletion_protection guards them
# too, since it refuses the plan of a destroy as a whole; with prevent_destroy, terraform test could not clean up.
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

# Each client keeps its own key, and hands in a request that was made with it.
resource "etcd_certificate" "client" {
  for_each = var.clients

  pki         = etcd_pki.this.client_authority
  common_name = each.key
  csr         = each.value.csr
}
