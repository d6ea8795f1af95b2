resource "etcd_pki" "prod" {
  name = "prod"
}

# The key is made here, in a file for its owner alone, and is in no state.
resource "etcd_certificate" "operator" {
  pki                 = etcd_pki.prod.client_authority
  common_name         = "root"
  private_key_file    = "operator.key"
  certificate_file    = "operator.crt"
  ca_certificate_file = "ca.crt"
}

# The key is made elsewhere, and Terraform sees a request alone.
resource "etcd_certificate" "api_server" {
  pki          = etcd_pki.prod.client_authority
  common_name  = "api-server"
  csr          = file("${path.module}/api-server.csr")
  validity     = "2160h" # 90 days,
  renew_before = "360h"  # and another one by the first apply in the last 15
}
