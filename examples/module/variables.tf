# Terraform silently drops attributes that a type does not have, and so drops a misspelt one. So the attributes of a member
# that matter are required here: if zone is misspelt, zone is missing, and the plan says so.

variable "name" {
  description = "Name of the cluster."
  type        = string
}

variable "etcd_version" {
  description = "A minor version of etcd, of which members run the newest patch that the provider carries, or an exact version."
  type        = string
  default     = "3.7"

  validation {
    condition     = can(regex("^3\\.[0-9]+(\\.[0-9]+)?$", var.etcd_version))
    error_message = "etcd_version is a minor version like 3.7, or an exact one like 3.7.3."
  }
}

variable "members" {
  description = "The members, by name: the address of each one's host, the host's SSH key, and its failure domain."
  # Terraform silently drops attributes that this type lacks, so it has all attributes of a member.
  type = map(object({
    address     = string
    host_key    = string
    host_ca     = optional(string)
    ssh_address = optional(string)
    ssh_port    = optional(number)
    ssh_user    = optional(string)
    zone        = string
    rebuild     = optional(string)
  }))

  validation {
    condition     = contains([1, 3, 5, 7], length(var.members))
    error_message = "A cluster has 1, 3, 5 or 7 members."
  }

  validation {
    condition = length(var.members) == 1 || alltrue([
      for zone in distinct([for member in var.members : member.zone]) :
      length([for member in var.members : member if member.zone == zone]) <= floor((length(var.members) - 1) / 2)
    ])
    error_message = "A zone has more members than the cluster can lose: if it failed, the quorum would be lost."
  }
}

variable "quota_gibibytes" {
  description = "Size of the database at which members refuse further writes, in GiB."
  type        = number
  default     = 8

  validation {
    condition     = var.quota_gibibytes >= 1 && var.quota_gibibytes <= 8
    error_message = "etcd's own advice is 8 GiB at most."
  }
}

variable "backup" {
  description = "Backups that the hosts make in a directory that they share, encrypted to the recipients (age). Null: none."
  type = object({
    directory  = string
    recipients = set(string)
    schedule   = optional(string, "hourly")
  })
  default = null

  validation {
    condition     = var.backup == null ? true : length(var.backup.recipients) > 0
    error_message = "A backup has all secrets of the cluster in it: name the recipients to encrypt it to."
  }
}

variable "clients" {
  description = "Certificate requests of clients, by the name of each client's etcd user."
  type        = map(object({ csr = string }))
  default     = {}
}

variable "revoked" {
  description = "Serial numbers, in hexadecimal, of clients' certificates that are revoked."
  type        = set(string)
  default     = []
}

variable "rotation" {
  description = "Replaces the authorities: see the guide on rotating authorities. Null: no rotation."
  type = object({
    peers   = optional(string)
    clients = optional(string)
    phase   = optional(string, "trust")
  })
  default = null
}
