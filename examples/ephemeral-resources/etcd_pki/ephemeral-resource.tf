# Each run makes other authorities. The vault keeps those that a run writes to it.
ephemeral "etcd_pki" "new" {
  name = "prod"
}

# Give them to a write-only attribute, for example to a secret of a vault, which is written when its version changes.
#
#   resource "vault_kv_secret_v2" "etcd" {
#     mount                = "kv"
#     name                 = "etcd/prod"
#     data_json_wo_version = 1
#     data_json_wo         = jsonencode({ peer = ephemeral.etcd_pki.new.peer, client = ephemeral.etcd_pki.new.client })
#   }
#
# Apply that first (terraform apply -target=vault_kv_secret_v2.etcd): the provider refuses authorities as pki in the run
# that makes them. In every later run the cluster reads them from the vault:
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
