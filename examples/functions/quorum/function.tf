output "quorum" {
  value = provider::etcd::quorum(5) # 3
}
