# One profile, an image for each architecture it allows, and a file of each. The profile is as short as
#
#   app:                       # profiles.d/app.yml
#     iso: debian-13
#     architectures: [x86_64, arm64]
#     packages: [nginx]
#
# and the name of the ISO stands for one of each architecture:
#
#   debian-13:                 # isos.d/debian.yml
#     architectures:
#       x86_64:
#         url: https://example.org/debian-cd/amd64/debian-13-amd64-netinst.iso
#         checksum_url: https://example.org/debian-cd/amd64/SHA256SUMS
#       arm64:
#         url: https://example.org/debian-cd/arm64/debian-13-arm64-netinst.iso
#         checksum_url: https://example.org/debian-cd/arm64/SHA256SUMS

terraform {
  required_providers {
    pim = { source = "pim-tools/pim" }
  }
}

provider "pim" {
  # The other architecture is built on a machine that accelerates it; without one, set emulation = true below.
  remotes = {
    kvm-1 = { host = "kvm-1.lab.example" }
  }
  builders = {
    x86_64 = ["kvm-1"]
    arm64  = ["local"]
  }
}

# The profile's architectures are known at plan time, whichever of them this one is read for.
data "pim_profile" "app" {
  name = "app"
}

resource "pim_image" "app" {
  for_each = toset(data.pim_profile.app.architectures)

  profile = data.pim_profile.app.name
  arch    = each.key
}

resource "pim_deployment" "app" {
  for_each = pim_image.app
  image_id = each.value.id

  file {
    path = "${path.root}/app-${each.key}.qcow2"
  }
}

output "files" {
  value = { for arch, d in pim_deployment.app : arch => d.path }
}
