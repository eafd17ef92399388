# A golden image as a Proxmox VE template, and a linked clone of it made by bpg/proxmox. Both providers read the same
# PROXMOX_VE_ENDPOINT and PROXMOX_VE_API_TOKEN.

terraform {
  required_providers {
    pim     = { source = "pim-tools/pim" }
    proxmox = { source = "bpg/proxmox" }
  }
}

variable "ssh_public_key" {
  description = "Who may log in, as in ~/.ssh/id_ed25519.pub."
  type        = string
}

provider "pim" {}
provider "proxmox" {}

resource "pim_image" "node" {
  arch     = "x86_64"
  hostname = "node"
  packages = ["qemu-guest-agent"]
  scripts  = ["base", "k8s-node"]

  iso = {
    url          = "https://example.org/debian-cd/debian-13-amd64-netinst.iso"
    checksum_url = "https://example.org/debian-cd/SHA256SUMS"
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "pim_deployment" "node" {
  image_id = pim_image.node.id

  proxmox {
    node               = "pve1"
    storage            = "local-lvm"
    cloud_init_storage = "local-lvm"
    template_id_start  = 9000 # the first free id from here on
    bridge             = "vmbr0"
    tags               = ["k8s"]
  }
}

resource "proxmox_virtual_environment_vm" "node" {
  count     = 3
  name      = "node-${count.index + 1}"
  node_name = pim_deployment.node.node

  clone {
    vm_id = pim_deployment.node.template_id
    full  = false # a linked clone: the old template stays as long as one of these needs it
  }

  agent {
    enabled = true
  }

  memory {
    dedicated = 4096
  }

  initialization {
    datastore_id = "local-lvm"

    ip_config {
      ipv4 {
        address = "dhcp"
      }
    }

    user_account {
      username = "admin"
      keys     = [var.ssh_public_key]
    }
  }
}

output "template_id" {
  value = pim_deployment.node.template_id
}
