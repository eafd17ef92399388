package provider

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strconv"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy/ami"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy/file"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy/proxmox"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy/utm"
)

// The types of targets.
const (
	kindAWS     = "aws"
	kindProxmox = "proxmox"
	kindUTM     = "utm"
	kindFile    = "file"
)

// targetKinds are the types of targets there are, with the patience they have; the zero pace is deploy.DefaultPace.
func targetKinds(pace deploy.Pace) kinds {
	return kinds{
		kindAWS: typed(kind{
			name: kindAWS, entry: "ami",
			effect: ami.Effect, reference: amiReference,
			label: func(m *deploymentModel) string { return knownStrings(m.Settings)["region"] },
			regions: func(s settings) []string {
				return append([]string{s.(*ami.Settings).Region}, s.(*ami.Settings).Regions...)
			},
		}, func(ctx context.Context, s ami.Settings) (deploy.Target, error) {
			return ami.New(ctx, s, ami.Options{Pace: pace})
		}),

		kindProxmox: typed(kind{
			name: kindProxmox, entry: "template",
			paths:  []string{"ca_file", "api_token_file", "password_file"},
			effect: proxmox.Effect, reference: templateReference,
			label: func(m *deploymentModel) string { return m.Node.ValueString() },
		}, func(ctx context.Context, s proxmox.Settings) (deploy.Target, error) {
			return proxmox.New(ctx, s, proxmox.Options{Pace: pace})
		}),

		kindUTM: typed(kind{
			name: kindUTM, entry: "utm", paths: []string{"output_dir"},
			effect: utm.Effect, reference: pathReference("output_dir", path.Dir),
		}, func(ctx context.Context, s utm.Settings) (deploy.Target, error) {
			return utm.New(ctx, s, utm.Options{Pace: pace})
		}),

		kindFile: typed(kind{
			name: kindFile, entry: "file", paths: []string{"path"},
			effect: file.Effect, reference: pathReference("path", path.Clean),
		}, func(ctx context.Context, s file.Settings) (deploy.Target, error) {
			return file.New(ctx, s, file.Options{Pace: pace})
		}),
	}
}

var amiRef = regexp.MustCompile(`^(?:([a-z0-9-]+):)?(ami-[0-9a-f]+)$`)

// amiReference reads "REGION:ami-…", or "ami-…" of a target with a region.
func amiReference(ref string, s settings) (map[string]any, deploy.Result, error) {
	m := amiRef.FindStringSubmatch(ref)
	region := s.(*ami.Settings).Region
	if m == nil || (m[1] == "") == (region == "") {
		return nil, deploy.Result{}, errors.New(`an AMI is named "aws:REGION:ami-…", or "TARGET:ami-…" with a target of targets.d`)
	}
	region += m[1]
	return map[string]any{"region": region}, deploy.Result{ID: m[2], AMIs: map[string]string{region: m[2]}}, nil
}

var templateRef = regexp.MustCompile(`^(?:([A-Za-z0-9.-]+)[:/])?(\d+)$`)

// templateReference reads "NODE:VMID", "NODE/VMID", or "VMID" for a template on the settings' node, or on any.
func templateReference(ref string, s settings) (map[string]any, deploy.Result, error) {
	m := templateRef.FindStringSubmatch(ref)
	if m == nil {
		return nil, deploy.Result{}, errors.New(`a template is named "proxmox:NODE:VMID", or "TARGET:VMID" with a target of targets.d`)
	}
	vmid, err := strconv.ParseInt(m[2], 10, 64)
	if err != nil {
		return nil, deploy.Result{}, err
	}
	node := m[1]
	if node == "" {
		node = s.(*proxmox.Settings).Node
	}
	return map[string]any{"node": node}, deploy.Result{ID: fmt.Sprintf("%s/%d", node, vmid), Node: node, VMID: vmid}, nil
}

// pathReference reads the path of a file or bundle, which is the place, or is in it.
func pathReference(field string, place func(string) string) func(string, settings) (map[string]any, deploy.Result, error) {
	return func(ref string, _ settings) (map[string]any, deploy.Result, error) {
		if !path.IsAbs(ref) {
			return nil, deploy.Result{}, fmt.Errorf("%q is not an absolute path", ref)
		}
		return map[string]any{field: place(ref)}, deploy.Result{ID: ref, Path: ref}, nil
	}
}
