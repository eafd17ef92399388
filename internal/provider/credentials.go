package provider

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// What belongs together of the settings of a Proxmox cluster. A part comes whole from the first place that gives any of
// it: the target, the provider block, the environment. So no password meets another's user, and no fingerprint another
// server.
var (
	clusterAddress = []string{"endpoint", "host"}
	clusterLogin   = []string{"api_token", "api_token_file", "username", "password", "password_file"}
	clusterTrust   = []string{"ca_file", "fingerprint", "insecure"}
)

// clusterEnvironment are the environment variables of bpg/proxmox, which name the same things.
var clusterEnvironment = map[string]string{ //nolint:gosec // names of variables, not what is in them
	"endpoint": "PROXMOX_VE_ENDPOINT", "api_token": "PROXMOX_VE_API_TOKEN", "username": "PROXMOX_VE_USERNAME",
	"password": "PROXMOX_VE_PASSWORD", "insecure": "PROXMOX_VE_INSECURE",
}

func clusterAttribute() schema.Attribute {
	text := func(description, env string) schema.StringAttribute {
		if env != "" {
			description += " Environment variable `" + env + "`."
		}
		return schema.StringAttribute{Optional: true, MarkdownDescription: description}
	}
	secret := func(description, env string) schema.StringAttribute {
		a := text(description, env)
		a.Sensitive = true
		return a
	}
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "The Proxmox VE cluster of deployments whose target does not name one, and how to log in to it. The address, " +
			"the login and the certificate each come whole from the first of: the target, this, the environment. Nothing of the login " +
			"gets into a state.",
		Attributes: map[string]schema.Attribute{
			"endpoint":    text("URL of the API, such as `https://pve.example.com:8006`.", clusterEnvironment["endpoint"]),
			"api_token":   secret("API token, `user@realm!name=uuid`.", clusterEnvironment["api_token"]),
			"username":    text("User to log in as, with the realm: `root@pam`.", clusterEnvironment["username"]),
			"password":    secret("Password of `username`.", clusterEnvironment["password"]),
			"ca_file":     text("PEM file of the certificate authority that signed the server's certificate. A leading `~` is your home directory.", ""),
			"fingerprint": text("SHA-256 fingerprint of the server's certificate, in hexadecimal, to trust that one alone.", ""),
			"insecure": schema.BoolAttribute{
				Optional: true,
				MarkdownDescription: "Whether to accept any certificate, and so any server; default `false`. Environment variable `" +
					clusterEnvironment["insecure"] + "`.",
			},
		},
	}
}

// lenders are what the provider block and the environment say about a Proxmox cluster, in this order.
func (e environment) lenders(block types.Object) ([]map[string]any, diag.Diagnostics) {
	var diags diag.Diagnostics
	env := map[string]any{}
	for field, name := range clusterEnvironment {
		v := e.getenv(name)
		switch {
		case v == "":
		case field == "insecure":
			insecure, err := strconv.ParseBool(v)
			if err != nil {
				diags.AddAttributeError(path.Root("proxmox"), "Invalid environment variable", fmt.Sprintf("%s is %q; set it to true or false.", name, v))
			}
			env[field] = insecure
		default:
			env[field] = v
		}
	}
	own := fieldsOf(block)
	if block.IsUnknown() {
		for _, field := range slices.Concat(clusterAddress, clusterLogin, clusterTrust) {
			own[field] = notYet{}
		}
	}
	return []map[string]any{own, env}, diags
}

// lend fills in what the fields of a target leave to the provider. lent are the names of those that no state gets: how to
// log in is today's business.
func (r *runtime) lend(k *kind, given map[string]any) (fields map[string]any, lent []string) {
	fields = maps.Clone(given)
	if k.name != kindProxmox {
		return fields, nil
	}
	for _, part := range [][]string{clusterAddress, clusterLogin, clusterTrust} {
		names := r.borrow(fields, given, part)
		if !slices.Equal(part, clusterAddress) {
			lent = append(lent, names...)
		}
	}
	return fields, lent
}

// borrow copies a part from the first that gives any of it, when nothing of it is given. It returns what it copied.
func (r *runtime) borrow(fields, given map[string]any, part []string) []string {
	in := func(m map[string]any) (names []string) {
		for _, name := range part {
			if _, ok := m[name]; ok {
				names = append(names, name)
			}
		}
		return names
	}
	if len(in(given)) > 0 {
		return nil
	}
	for _, lender := range r.lenders {
		if names := in(lender); len(names) > 0 {
			for _, name := range names {
				fields[name] = lender[name]
			}
			return names
		}
	}
	return nil
}
