terraform {
  required_providers {
    pim = { source = "pim-tools/pim" }
  }
}

variable "arch" {
  type = string
}

variable "firmware" {
  type = string
}

variable "boot_args" {
  type = list(string)
}

data "pim_profile" "demo" {
  name = "demo"
  arch = var.arch
}

resource "pim_image" "demo" {
  profile   = data.pim_profile.demo.name
  arch      = var.arch
  firmware  = var.firmware
  boot_args = concat(data.pim_profile.demo.boot_args, var.boot_args)
  emulation = true

  timeouts {
    create = "6h"
  }
}

output "id" {
  value = pim_image.demo.id
}

output "path" {
  value = pim_image.demo.path
}

output "manifest" {
  value = pim_image.demo.manifest_path
}
