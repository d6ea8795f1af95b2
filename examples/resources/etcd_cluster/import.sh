# NAME@host[,host...]: all of its hosts, by the addresses at which their sshd is reached. Everything is read
# back from the hosts and nothing is changed there. The hosts' keys have to be known already, from a
# known_hosts file or by the provider's host_ca.
terraform import etcd_cluster.prod 'prod@192.0.2.11,192.0.2.12,192.0.2.13'
