# NAME@DIRECTORY: the directory holds peer-ca.crt, peer-ca.key, client-ca.crt and client-ca.key, each PEM, the keys
# readable by their owner alone (chmod 600). In the middle of a rotation it also holds what is trusted beside them, as
# peer-ca-trusted.crt and peer-ca-trusted.key, and client-ca-trusted.crt and client-ca-trusted.key. Behind the certificate
# of an intermediate, its chain can follow in the same file. Nothing is made anew: all of it is read from the files.
terraform import etcd_pki.prod 'prod@./authorities'
