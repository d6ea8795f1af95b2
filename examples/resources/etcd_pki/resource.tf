resource "etcd_pki" "prod" {
  name = "prod"

  lifecycle {
    prevent_destroy = true # without these keys nobody can issue the cluster another certificate
  }
}
