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

variable "verify" {
  type    = bool
  default = true
}

resource "pim_image" "layered" {
  arch      = "x86_64"
  hostname  = "layered"
  username  = "ops"
  packages  = ["tree"]
  scripts   = ["base", "layered"]
  disk_size = "9G"
  verify    = var.verify
  emulation = true

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
