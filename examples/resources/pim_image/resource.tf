# From a profile. The lock turns a script that is edited between a saved plan and its apply into a clear error.
data "pim_profile" "developer" {
  name = "developer"
}

resource "pim_image" "developer" {
  profile     = "developer"
  inputs_lock = data.pim_profile.developer.inputs

  # The new image is built before the old one goes.
  lifecycle {
    create_before_destroy = true
  }
}

# Without any YAML: everything is said here.
resource "pim_image" "web" {
  arch      = "x86_64"
  hostname  = "web"
  disk_size = "10G"
  packages  = ["nginx"]
  scripts   = ["base", "./scripts/web.sh"]

  iso = {
    url          = "https://example.com/debian/debian-13-amd64-netinst.iso"
    checksum_url = "https://example.com/debian/SHA256SUMS"
  }

  # Rebuilt every month, for the updates.
  triggers = {
    month = formatdate("YYYY-MM", plantimestamp())
  }

  # This machine may not be able to accelerate x86_64.
  emulation = true

  timeouts {
    create = "3h"
  }
}

# From a distribution's cloud image instead of an installation: minutes instead of an hour.
resource "pim_image" "cloud" {
  arch      = "x86_64"
  hostname  = "cloud"
  username  = "ops"
  packages  = ["nginx"]
  scripts   = ["base"]
  disk_size = "10G"

  base = {
    source       = "https://example.com/noble/noble-server-cloudimg-amd64.img"
    checksum_url = "https://example.com/noble/SHA256SUMS"
  }
}

# From another image: a change of that one makes this one stale as well.
resource "pim_image" "layered" {
  arch     = "x86_64"
  hostname = "layered"
  scripts  = ["./scripts/app.sh"]

  base = {
    source = pim_image.web.path
    sha256 = pim_image.web.sha256
  }
}

output "image" {
  value = pim_image.web.path
}
