# A golden image as a UTM bundle, for a virtual machine on a Mac. The architecture is the Mac's own, so that the guest
# runs at full speed; an image for the other one can be built elsewhere.

terraform {
  required_providers {
    pim = { source = "pim-tools/pim" }
  }
}

variable "output_dir" {
  description = "Where the bundle goes."
  type        = string
  default     = "~/.local/share/pim/utm"
}

resource "pim_image" "desk" {
  arch     = "arm64"
  hostname = "desk"
  scripts  = ["base", "developer"]

  iso = {
    url          = "https://example.org/debian-cd/debian-13-arm64-netinst.iso"
    checksum_url = "https://example.org/debian-cd/SHA256SUMS"
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "pim_deployment" "desk" {
  image_id = pim_image.desk.id

  utm {
    output_dir = var.output_dir
    cores      = 4
    memory     = 4096 # MiB
  }
}

# No provider drives UTM, so opening the bundle is a command: UTM adds it to its list of machines.
output "open" {
  value = "open '${pim_deployment.desk.path}'"
}
