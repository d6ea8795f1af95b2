resource "etcd_pki" "prod" {
  name = "prod"
}
