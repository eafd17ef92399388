data "pim_profile" "developer" {
  name = "developer"
}

output "scripts" {
  value = [for s in data.pim_profile.developer.scripts : "${s.name} ${s.sha256}"]
}
