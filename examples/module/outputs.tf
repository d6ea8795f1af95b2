output "endpoints" {
  description = "Client URLs of the members."
  value       = etcd_cluster.this.endpoints
}

output "ca_certificate" {
  description = "What clients verify the members with, PEM."
  value       = etcd_cluster.this.client_ca_certificate
}

output "certificates" {
  description = "The clients' certificates, PEM, by the names in clients."
  value       = { for name, certificate in etcd_certificate.client : name => certificate.certificate }
}

output "cluster" {
  description = "The cluster, as etcd_snapshot and etcd_backups take it."
  value = {
    name    = etcd_cluster.this.name
    owner   = etcd_cluster.this.owner
    members = etcd_cluster.this.members
  }
}
