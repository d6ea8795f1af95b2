terraform import etcd_cluster.prod 'prod@192.0.2.11,192.0.2.12,192.0.2.13'
