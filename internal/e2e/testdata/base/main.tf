terraform {
  required_providers {
    pim = { source = "pim-tools/pim" }
  }
}

variable "source_path" {
  type = string
}

variable "sha256" {
  type = string
}

variable "arch" {
  type    = string
  default = "x86_64"
}

variable "firmware" {
  type    = string
  default = "bios"
}

variable "verify" {
  type    = bool
  default = true
}

resource "pim_image" "layered" {
  arch      = var.arch
  firmware  = var.firmware
  hostname  = "layered"
  domain    = "example.test"
  username  = "ops"
  fullname  = "Olga Petrova"
  timezone  = "Europe/Sofia"
  locale    = "de_DE.UTF-8"
  packages  = ["tree"]
  scripts   = ["base", "layered"]
  disk_size = "9G"
  verify    = var.verify
  emulation = true

  authorized_keys_url = "http://keys.example.org/debian/dists/trixie/Release" # a file that the proxy has, whatever the host

  timeouts {
    create = "6h"
  }

  base = {
    source = var.source_path
    sha256 = var.sha256
  }
}

output "id" {
  value = pim_image.layered.id
}

output "manifest" {
  value = pim_image.layered.manifest_path
}
