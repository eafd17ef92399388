data "pim_images" "web" {
  name = "web"
}

# Where the current images of that name are, and what was made of them.
output "images" {
  value = { for i in data.pim_images.web.images : i.arch => i.path if i.exists }
}

output "templates" {
  value = { for d in data.pim_images.web.deployments : d.target => d.template_id if d.type == "template" }
}
