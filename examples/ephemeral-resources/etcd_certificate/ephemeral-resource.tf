resource "etcd_pki" "prod" {
  name = "prod"
}

variable "endpoint" {
  description = "Client URL of a member."
  type        = string
  default     = "https://192.0.2.11:2379"
}

# Each run makes another certificate, and nothing keeps it.
ephemeral "etcd_certificate" "smoke_test" {
  pki         = etcd_pki.prod.client_authority
  common_name = "smoke-test"
  validity    = "10m"
}

# Use it in another provider's configuration, in a write-only attribute, or in a provisioner like this one.
resource "terraform_data" "smoke_test" {
  provisioner "local-exec" {
    interpreter = ["bash", "-c"]
    command     = "curl --fail --silent --cacert <(echo \"$CA\") --cert <(echo \"$CERT\") --key <(echo \"$KEY\") \"$URL/health\""

    environment = {
      URL  = var.endpoint
      CA   = ephemeral.etcd_certificate.smoke_test.ca_certificate
      CERT = ephemeral.etcd_certificate.smoke_test.certificate
      KEY  = ephemeral.etcd_certificate.smoke_test.private_key
    }
  }
}
