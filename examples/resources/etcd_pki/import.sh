# NAME@DIRECTORY: the directory holds peer-ca.crt, peer-ca.key, client-ca.crt and client-ca.key, each PEM, the keys
# readable by their owner alone (chmod 600). In the middle of a rotation it also holds what is trusted beside them, as
# peer-ca-trusted.crt and peer-ca-trusted.key, and client-ca-trusted.crt and client-ca-trusted.key. Behind the certificate
# of an intermediate, its chain can follow in the same file. Nothing is made anew: all of it is read from the files.
# Which texts rotation.peers and rotation.clients had, no file says: where the configuration has some of a rotation that
# is complete, phase = "retire" has the next apply note them, and rotates nothing.
# In an import block, Terraform 1.12 and later also take identity = { name = "prod", directory = "./authorities" }.
terraform import etcd_pki.prod 'prod@./authorities'
