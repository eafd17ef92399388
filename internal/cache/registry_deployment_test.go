package cache

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

func deployment(name, target string) Deployment {
	return Deployment{Name: name, Target: target, ImageKey: testKey, DeployedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
}

func TestRegistryOfDeployments(t *testing.T) {
	s, ctx := newStore(t), t.Context()
	put(t, s.registryPath(), registryByHand)
	pve := deployment("developer", "proxmox-sg")
	pve.Type, pve.TemplateID = "template", 9001
	moved := deployment("developer", "aws-sg") // was an AMI
	moved.Type, moved.Path = "file", "/srv/dev.qcow2"
	aws := deployment("other", "aws-sg")
	aws.Type, aws.AMIID = "ami", "ami-1"
	for _, d := range []Deployment{pve, moved, aws} {
		if err := s.RegisterDeployment(ctx, d); err != nil {
			t.Fatal(err)
		}
	}
	expectGolden(t, "registry_deployed.yml", []byte(readRegistry(t, s)))

	r, err := s.Registry(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if want := []Deployment{pve, moved, aws}; !reflect.DeepEqual(r.Deployments, want) {
		t.Errorf("got  %+v\nwant %+v", r.Deployments, want)
	}

	older := pve
	older.TemplateID = 9000
	for _, d := range []Deployment{older, aws, deployment("nobody's", "aws-sg")} {
		if err := s.UnregisterDeployment(ctx, d); err != nil {
			t.Fatal(err)
		}
	}
	if r, err = s.Registry(ctx); err != nil || !reflect.DeepEqual(r.Deployments, []Deployment{pve, moved}) {
		t.Errorf("left are %+v, %v", r.Deployments, err)
	}
}

func TestUnregisterDeploymentMakesNoRegistry(t *testing.T) {
	s := newStore(t)
	if err := s.UnregisterDeployment(t.Context(), deployment("dev", "file")); err != nil {
		t.Fatal(err)
	}
	if r, err := s.Registry(t.Context()); err != nil || len(r.Images)+len(r.Deployments) > 0 {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestRegistryOfImages(t *testing.T) {
	s, img := published(t)
	put(t, s.registryPath(), registryByHand)
	if err := s.RegisterImage(t.Context(), img); err != nil {
		t.Fatal(err)
	}
	r, err := s.Registry(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m := img.Manifest
	want := []RegisteredImage{
		{
			Name: "developer", Arch: host.ARM64, Key: "abc123", Path: "/old/developer.qcow2", Profile: "developer",
			ISO: "debian-13.3.0-arm64-netinst", BuiltAt: time.Date(2025, 1, 27, 10, 0, 0, 0, time.UTC),
		},
		{
			Name: m.Name, Arch: m.Arch, Key: m.Key, Path: img.Path, Profile: m.Profile, ISO: m.ISO,
			BuiltAt: m.BuiltAt.UTC().Truncate(time.Second), Exists: true,
		},
	}
	if !reflect.DeepEqual(r.Images, want) {
		t.Errorf("got  %+v\nwant %+v", r.Images, want)
	}
}

func TestRegistrySaysWhereItIsBroken(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"no yaml":      {"images: [", "line 1"},
		"a list":       {"\n- images\n", "line 2: expected a mapping"},
		"images":       {"images:\n  - dev\n", "line 2: expected a mapping"},
		"architecture": {"images:\n  dev: 7\n", "line 2: expected a mapping"},
		"image":        {"images:\n  dev:\n    arm64: 7\n", `line 3: "arm64": expected a mapping`},
		"field":        {"deployments:\n  dev:\n    pve:\n      template_id: none\n", "line 4: cannot unmarshal"},
		"time":         {"images:\n  dev:\n    arm64:\n      built_at: yesterday\n", "line 4: parsing time"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			put(t, s.registryPath(), c.text)
			if r, err := s.Registry(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "registry.yml") {
				t.Errorf("got %+v, %v", r, err)
			}
		})
	}
}
