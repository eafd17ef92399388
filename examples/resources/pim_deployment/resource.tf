resource "pim_image" "web" {
  profile = "web"
}

# To a target of targets.d, which several configurations share:
#
#   # ~/.config/pim/targets.d/proxmox-sg.yml
#   proxmox-sg:
#     type: proxmox
#     host: proxmox-sg.lab.example
#     node: pve1
#     storage: local-lvm
#     api_token_file: ~/.config/pim/proxmox-sg.token
resource "pim_deployment" "template" {
  image_id = pim_image.web.id
  target   = "proxmox-sg"
  keep     = 1 # the generation before stays, to go back to
}

# The same, said here. Credentials come from the AWS SDK's usual places.
resource "pim_deployment" "ami" {
  image_id = pim_image.web.id
  name     = "web-server"

  aws {
    region          = "ap-southeast-1"
    regions         = ["eu-central-1"]
    share_with      = ["123456789012"]
    deprecate_after = "90d"
    tags            = { team = "web" }
  }

  timeouts {
    update = "2h"
  }
}

# A qcow2 from elsewhere, as a file for another hypervisor.
resource "pim_deployment" "vmdk" {
  image_path = "~/Downloads/debian-13-generic-amd64.qcow2"
  arch       = "x86_64"

  file {
    path = "${path.root}/debian.vmdk"
  }
}

output "template_id" {
  value = pim_deployment.template.template_id
}

output "amis" {
  value = pim_deployment.ami.amis
}
