terraform {
  required_providers {
    pim = { source = "pim-tools/pim" }
  }
}

variable "answers" {
  type    = string
  default = null
}

variable "autoinstall" {
  type    = string
  default = null
}

data "pim_profile" "ubuntu" {
  name = "ubuntu"
  arch = "x86_64"
}

resource "pim_image" "ubuntu" {
  profile     = data.pim_profile.ubuntu.name
  arch        = "x86_64"
  answers     = var.answers
  autoinstall = var.autoinstall
  emulation   = true
}

output "manifest" {
  value = pim_image.ubuntu.manifest_path
}

output "rendered" {
  value = nonsensitive(data.pim_profile.ubuntu.rendered_autoinstall)
}
