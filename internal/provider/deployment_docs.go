package provider

// fieldDocs describes the fields of targets by type and path. They have the same names and meanings in targets.d and in the
// resource's blocks.
var fieldDocs = map[string]map[string]string{
	kindAWS: {
		"region": "Region that the snapshot and the AMI are made in, such as `eu-central-1`. Required; it is never taken from the " +
			"environment. A change makes the deployment anew, elsewhere.",
		"method": "How the disk gets to AWS: `ebs_direct` (the default; only blocks with data are sent, straight from the qcow2) or " +
			"`s3_import` (the raw disk by way of `s3_bucket`, which needs the role `vmimport`).",
		"s3_bucket": "Bucket in the same region for `s3_import`. The object is removed after the import; where the bucket keeps versions, " +
			"that takes the permission `s3:DeleteObjectVersion`.",
		"s3_prefix":                            "What the object's key in the bucket begins with.",
		"regions":                              "More regions, to copy the AMI to. Each has its AMI in `amis`.",
		"share_with":                           "Ids of AWS accounts that may launch the AMIs and copy their snapshots, 12 digits each.",
		"launch_permissions":                   "Who may launch the AMIs beside the accounts of `share_with`.",
		"launch_permissions.groups":            "`[\"all\"]` makes the AMIs public.",
		"launch_permissions.organization_arns": "ARNs of organizations.",
		"launch_permissions.organizational_unit_arns": "ARNs of organizational units.",
		"deprecate_after": "When the AMIs are deprecated, from their creation: days such as `90d`, or a duration such as `2160h`.",
		"encrypted":       "Whether the snapshot is encrypted; default `false`, or what the account does by default. A change makes a new AMI.",
		"kms_key_id":      "ARN of the KMS key to encrypt with, instead of the account's default key.",
		"kms_key_ids":     "KMS key of each copy: region to key, for encrypted copies.",
		"parent_snapshot": "Snapshot to send only the difference to: its id, or `previous` for that of the generation before.",
		"boot_mode": "Boot mode of the AMI: `legacy-bios`, `uefi` or `uefi-preferred`. The default is by the image: `uefi` where it was built " +
			"for that (or for arm64), else `uefi-preferred` where it has an EFI system partition, `legacy-bios` where it has none. An AMI " +
			"of an image built with `tpm` supports NitroTPM; Secure Boot is off on AWS until an AMI is registered with keys of its own.",
		"tags":                     "Tags of the AMIs and snapshots, beside those of pim.",
		"profile":                  "Profile of the shared AWS configuration files.",
		"assume_role":              "Role to assume with the credentials found.",
		"assume_role.role_arn":     "ARN of the role.",
		"assume_role.session_name": "Name of the session, `terraform-provider-pim` by default.",
		"assume_role.external_id":  "External id that the role's trust policy asks for.",
		"endpoints":                "URLs to use instead of AWS's own, for compatible clouds.",
		"endpoints.ec2":            "URL of EC2, for all regions.",
		"endpoints.ebs":            "URL of the EBS direct APIs.",
		"endpoints.s3":             "URL of S3.",
		"endpoints.sts":            "URL of STS.",
		"concurrency":              "Requests under way at most; default `64`. It adapts below that by itself.",
	},
	kindProxmox: {
		"endpoint": "URL of the API, such as `https://pve.example.com:8006`. The default is the provider block's, or `PROXMOX_VE_ENDPOINT`. Another " +
			"cluster makes the deployment anew, there; another address of the same one, which the template's UUID tells, leaves it as it is.",
		"host": "Name or address of the server instead of `endpoint`, with a port where that is not 8006.",
		"node": "Node that the template is made on. May be left out where there is but one. A change makes a new template, as do changes of " +
			"`storage`, `cloud_init_storage`, `template_id` and `pool`.",
		"storage":            "Storage of the template's disk, with the content type `images`, such as `local-lvm`. Required.",
		"import_storage":     "Storage that the image is uploaded to, with the content type `import`; default `local`. Nothing stays there.",
		"cloud_init_storage": "Storage of the cloud-init drive; `storage` by default.",
		"template_id": "VM id that the template always gets, 100 to 999999999. Proxmox VE cannot renumber, so a new image is uploaded first, and then " +
			"takes the old template's place: `keep` has no effect, and a template with linked clones cannot be replaced. By default a " +
			"template gets the next free id from `template_id_start` on.",
		"template_id_start": "First VM id to consider; default `9000`.",
		"bridge":            "Network bridge of the first interface; default `vmbr0`.",
		"cores":             "CPU cores of clones; default `2`.",
		"memory":            "Memory of clones in MiB; default `2048`.",
		"cpu_type":          "CPU type of clones, such as `host`; default `x86-64-v2-AES`.",
		"tags":              "Tags of the template, beside `pim`.",
		"pool":              "Resource pool of the template.",
		"ca_file":           "PEM file of the certificate authority that signed the server's certificate. A leading `~` is your home directory.",
		"fingerprint":       "SHA-256 fingerprint of the server's certificate, in hexadecimal, to trust that one alone.",
		"insecure":          "Whether to accept any certificate, and so any server; default `false`.",
		"api_token_file":    "File with the API token, `user@realm!name=uuid`. A leading `~` is your home directory.",
		"username":          "User to log in as, with the realm: `root@pam`.",
		"password_file":     "File with the password of `username`. A leading `~` is your home directory.",
	},
	kindUTM: {
		"output_dir": "Folder that the bundle goes into, under the deployment's name: `NAME.utm`. Required. A leading `~` is your home directory. A " +
			"change makes the deployment anew, elsewhere.",
		"cores":   "CPU cores of the machine; default `2`.",
		"memory":  "Memory of the machine in MiB; default `2048`.",
		"network": "Network of the machine: `shared` (the default; NAT by macOS), `bridged` (the Mac's own network) or `emulated` (NAT by QEMU).",
	},
	kindFile: {
		"path": "Path of the file, relative to the working directory or absolute. Required. A leading `~` is your home directory. A change makes the " +
			"deployment anew, elsewhere.",
		"format":   "Format of the file: `qcow2`, `raw`, `vmdk`, `vdi` or `vhdx`; by default what the path ends in, else `qcow2`.",
		"checksum": "Whether a file with the SHA-256 goes beside it, for `sha256sum --check`; default `true`.",
	},
}
