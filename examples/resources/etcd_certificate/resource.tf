resource "etcd_pki" "prod" {
  name = "prod"
}

# The provider makes the key here, in a file that only its owner can read. No state has it.
resource "etcd_certificate" "operator" {
  pki                 = etcd_pki.prod.client_authority
  common_name         = "root"
  private_key_file    = "operator.key"
  certificate_file    = "operator.crt"
  ca_certificate_file = "ca.crt"
}

# The client has made its key itself, and Terraform only sees a certificate request.
resource "etcd_certificate" "api_server" {
  pki          = etcd_pki.prod.client_authority
  common_name  = "api-server"
  csr          = file("${path.module}/api-server.csr")
  validity     = "2160h" # 90 days
  renew_before = "360h"  # the first apply in the last 15 days renews it
}
