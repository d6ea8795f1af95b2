output "fault_tolerance" {
  value = provider::etcd::fault_tolerance(5) # 2
}
