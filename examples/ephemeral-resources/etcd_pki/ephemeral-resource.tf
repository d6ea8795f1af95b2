# Made anew by each run, and kept by nobody but the vault that a run writes it to.
ephemeral "etcd_pki" "new" {
  name = "prod"
}

# Any resource with a write-only attribute takes it: a secret of a vault, say, which is written when its version changes.
#
#   resource "vault_kv_secret_v2" "etcd" {
#     mount                = "kv"
#     name                 = "etcd/prod"
#     data_json_wo_version = 1
#     data_json_wo         = jsonencode({ peer = ephemeral.etcd_pki.new.peer, client = ephemeral.etcd_pki.new.client })
#   }
#
# Apply that first (terraform apply -target=vault_kv_secret_v2.etcd): in the run that makes authorities, they are refused
# as pki. The cluster reads them from the vault in every later run:
#
#   ephemeral "vault_kv_secret_v2" "etcd" {
#     mount = "kv"
#     name  = "etcd/prod"
#   }
#
#   resource "etcd_cluster" "prod" {
#     name = "prod"
#     pki = {
#       peer   = jsondecode(ephemeral.vault_kv_secret_v2.etcd.data.peer)
#       client = jsondecode(ephemeral.vault_kv_secret_v2.etcd.data.client)
#     }
#     ...
#   }
