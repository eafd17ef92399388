# Ubuntu Server from its live-server ISO, installed by Ubuntu's own installer.

terraform {
  required_providers {
    pim = { source = "pim-tools/pim" }
  }
}

provider "pim" {
  project_dir = "${path.module}/pim"
}

data "pim_profile" "web" {
  name = "web"
  arch = "x86_64"
}

resource "pim_image" "web" {
  profile = data.pim_profile.web.name
  arch    = data.pim_profile.web.arch

  lifecycle {
    create_before_destroy = true
  }
}

output "image" {
  value = pim_image.web.path
}
