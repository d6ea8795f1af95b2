# NAME@host[,host...]: all of its hosts, by the addresses at which their sshd is reached. Everything is read
# back from the hosts and nothing is changed there. No member's own host_key, ssh_port or ssh_user
# counts for an import, which reads no configuration of members: the hosts' keys have to be known from the provider's
# known_hosts_file (or ETCD_SSH_KNOWN_HOSTS_FILE) or by its host_ca, until the first apply after it.
# The keys that were verified do not become the members' host_key in the state: that is what a configuration trusts, and one
# that trusts by known_hosts_file or host_ca would be planned to give them up again.
# In an import block, Terraform 1.12 and later also take identity = { name = "prod", hosts = ["192.0.2.11"] }: the hosts
# of an identity follow the members, and one of them is enough.
terraform import etcd_cluster.prod 'prod@192.0.2.11,192.0.2.12,192.0.2.13'
