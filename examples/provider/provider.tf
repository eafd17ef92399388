terraform {
  required_providers {
    pim = {
      source = "pim-tools/pim"
    }
  }
}

provider "pim" {
  # Profiles, ISO catalogue and scripts of this project, over those in ~/.config/pim.
  project_dir = "${path.root}/pim"
}
