# A Debian installation becomes a golden image, and that a file for a virtual machine. `make demo` runs this. It writes pim/isos.d/debian.yml, which says where
# the installer's ISO is, and sets the variable.

terraform {
  required_providers {
    pim = { source = "pim-tools/pim" }
  }
}

provider "pim" {} # the directories come from PIM_CONFIG_DIR, PIM_DATA_DIR and PIM_CACHE_DIR

variable "boot_args" {
  description = "More words for the installer's kernel command line, separated by spaces."
  type        = string
  default     = ""
}

data "pim_profile" "demo" {
  name = "demo"
  arch = "x86_64"
}

resource "pim_image" "demo" {
  profile   = data.pim_profile.demo.name
  arch      = "x86_64"
  boot_args = concat(data.pim_profile.demo.boot_args, compact(split(" ", var.boot_args)))
  emulation = true # slow, but it works on every machine
}

# The same block could be aws { … }, proxmox { … } or utm { … }: see the folders beside this one.
resource "pim_deployment" "demo" {
  image_id = pim_image.demo.id

  file {
    path   = "${path.root}/demo.qcow2"
    format = "qcow2"
  }
}

output "deployment" {
  value = {
    path      = pim_deployment.demo.path
    sha256    = pim_deployment.demo.sha256
    image_key = pim_deployment.demo.image_key
  }
}

output "image" {
  value = {
    id          = pim_image.demo.id
    path        = pim_image.demo.path
    sha256      = pim_image.demo.sha256
    accelerator = pim_image.demo.accelerator
  }
}
