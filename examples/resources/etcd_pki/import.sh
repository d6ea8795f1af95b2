terraform import etcd_pki.prod 'prod@./authorities'
