package ami_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy/ami"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy/ami/awstest"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu"
)

// planned is a request for an image that is not built yet.
func planned(name string) deploy.Request {
	return deploy.Request{Name: name, Image: deploy.Image{Name: name, Key: strings.Repeat("0", 64), Arch: host.X86_64}}
}

// find is the problem with that field and something in its text, nil for none.
func find(problems []deploy.Problem, field, text string) *deploy.Problem {
	i := slices.IndexFunc(problems, func(p deploy.Problem) bool { return p.Field == field && strings.Contains(p.String(), text) })
	if i < 0 {
		return nil
	}
	return &problems[i]
}

func TestCheckFinds(t *testing.T) {
	t.Parallel()
	role := map[string]any{"role_arn": awstest.RoleARN}
	public := map[string]any{"launch_permissions": map[string]any{"groups": []string{"all"}}}
	shared := func(more map[string]any) map[string]any {
		s := map[string]any{"share_with": []string{buddy}}
		maps.Copy(s, more)
		return s
	}
	there := func(r *deploy.Request) {
		r.Current = &deploy.Result{ImageKey: r.Image.Key, AMIs: map[string]string{home: "ami-0123456789abcdef0"}}
	}
	encrypts, own := awstest.Options{EncryptByDefault: true}, awstest.Options{EncryptByDefault: true, OwnDefaultKey: true}
	tests := map[string]struct {
		o           awstest.Options
		change      map[string]any
		deny        string
		request     func(*deploy.Request)
		field, text string // of the problem, none for ""
		warns       bool
	}{
		"nothing":           {},
		"nothing elsewhere": {change: map[string]any{"regions": []string{other, third}}},
		"a short name":      {request: func(r *deploy.Request) { r.Name = "web:1" }, text: "Not a name"},
		"a long name":       {request: func(r *deploy.Request) { r.Name = strings.Repeat("x", 115) }, text: "Not a name"},
		"a large disk":      {request: func(r *deploy.Request) { r.Image.VirtualBytes = 64<<40 + 1 }, text: "too large"},
		"boot mode of arm64": {
			change: map[string]any{"boot_mode": "legacy-bios"}, request: func(r *deploy.Request) { r.Image.Arch = host.ARM64 },
			field: "boot_mode", text: "arm64",
		},
		"a TPM and BIOS": {request: func(r *deploy.Request) { r.Image.TPM, r.Image.Firmware = true, qemu.BIOS }, field: "boot_mode", text: "TPM"},
		"a TPM and either": {
			change:  map[string]any{"boot_mode": "uefi-preferred"},
			request: func(r *deploy.Request) { r.Image.TPM, r.Image.Firmware = true, qemu.UEFI }, field: "boot_mode", text: "TPM",
		},
		"a TPM and UEFI":      {request: func(r *deploy.Request) { r.Image.TPM, r.Image.Firmware = true, qemu.UEFI }},
		"Secure Boot":         {request: func(r *deploy.Request) { r.Image.Firmware = qemu.UEFISecure }, field: "boot_mode", text: "Secure Boot", warns: true},
		"no registering":      {deny: "RegisterImage", text: "ec2:RegisterImage", warns: true},
		"no deleting":         {deny: "DeleteSnapshot", text: "ec2:DeleteSnapshot", warns: true},
		"no copying":          {deny: "CopyImage", change: map[string]any{"regions": []string{other}}, text: "ec2:CopyImage", warns: true},
		"no copies":           {deny: "CopyImage"},
		"region not opted":    {change: map[string]any{"regions": []string{"ap-east-1"}}, field: "regions", text: "enable-region"},
		"region unheard of":   {change: map[string]any{"regions": []string{"mars-north-1"}}, field: "regions", text: "mars-north-1"},
		"shared":              {change: shared(nil)},
		"default key":         {o: encrypts},
		"default key, shared": {o: encrypts, change: shared(nil), field: "encrypted", text: "The default key"},
		"default key, shared, not to be seen": {
			o: encrypts, change: shared(nil), deny: "GetEbsDefaultKmsKeyId", field: "encrypted", text: "The default key", warns: true,
		},
		"default key, shared, not to be asked": {o: encrypts, change: shared(nil), deny: "GetEbsEncryptionByDefault"},
		"default key, shared as it is":         {o: encrypts, change: shared(nil), request: there},
		"default key, shared, with a parent": {
			o: encrypts, change: shared(map[string]any{"parent_snapshot": "previous"}), field: "encrypted", text: "The default key", warns: true,
		},
		"default key, shared copy": {
			o: encrypts, change: shared(map[string]any{"regions": []string{other}}), request: there, field: "kms_key_ids", text: other,
		},
		"default key, shared copy with its own": {
			o: encrypts, request: there,
			change: shared(map[string]any{"regions": []string{other}, "kms_key_ids": map[string]any{other: awstest.KMSKey(other)}}),
		},
		"own key, shared": {o: own, change: shared(nil), field: "encrypted", text: "The default key", warns: true},
		"keys named, shared": {
			o: encrypts, change: shared(map[string]any{"encrypted": true, "kms_key_id": awstest.KMSKey(home)}),
		},
		"public":                  {change: public},
		"public, encrypted":       {o: own, change: public, field: "launch_permissions", text: "Encrypted AMIs"},
		"public, blocked":         {o: awstest.Options{BlockPublic: true}, change: public, field: "launch_permissions", text: "Public AMIs are blocked"},
		"public, not to be asked": {o: awstest.Options{BlockPublic: true}, change: public, deny: "GetImageBlockPublicAccessState"},
		"not public, blocked":     {o: awstest.Options{BlockPublic: true}, change: shared(nil)},
		"role":                    {change: map[string]any{"assume_role": role}},
		"external id":             {o: awstest.Options{ExternalID: "x"}, change: map[string]any{"assume_role": role}, field: "assume_role", text: "external_id"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := awstest.New(t, test.o)
			server.Deny(test.deny)
			r := planned("web")
			if test.request != nil {
				test.request(&r)
			}
			problems, err := open(t, settings(t, server, test.change), ami.Options{}).Check(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			if test.text == "" && len(problems) > 0 {
				t.Errorf("found %v", problems)
			}
			if test.text != "" && (find(problems, test.field, test.text) == nil || len(problems) != 1) {
				t.Errorf("found %v, want one of %q with %q", problems, test.field, test.text)
			}
			if p := find(problems, test.field, test.text); p != nil && p.Warning != test.warns {
				t.Errorf("a warning: %t, want %t", p.Warning, test.warns)
			}
			empty(t, server)
		})
	}
}

// What is encrypted with the account's own key by default can be shared, so that the plan only warns.
func TestOwnDefaultKey(t *testing.T) {
	t.Parallel()
	server := awstest.New(t, awstest.Options{EncryptByDefault: true, OwnDefaultKey: true})
	target := open(t, settings(t, server, map[string]any{"regions": []string{other}, "share_with": []string{buddy}}), ami.Options{})
	made := mustDeploy(t, target, some().request(t, "web"))
	for region, id := range made.Snapshots {
		if key := server.Snapshot(id).Key; key != awstest.KMSKey(region) {
			t.Errorf("in %s the key is %q", region, key)
		}
	}
	fitting(t, target, made)
}

// Where a policy lets nothing be made without a certain tag, the plan finds nothing that the apply would not.
func TestDemandedTag(t *testing.T) {
	t.Parallel()
	server := awstest.New(t, awstest.Options{DemandTag: "team"})
	target := func(change map[string]any) deploy.Target { return open(t, settings(t, server, change), ami.Options{}) }
	problems, err := target(map[string]any{"regions": []string{other}}).Check(t.Context(), planned("web"))
	if err != nil || len(problems) != 2 || find(problems, "", "ec2:RegisterImage") == nil || find(problems, "", "ec2:CopyImage") == nil {
		t.Errorf("without the tag: found %v: %v", problems, err)
	}
	good := target(map[string]any{"regions": []string{other}, "tags": map[string]any{"team": "images"}})
	if problems, err := good.Check(t.Context(), planned("web")); err != nil || len(problems) > 0 {
		t.Errorf("found %v: %v", problems, err)
	}
	mustDeploy(t, good, some().request(t, "web"))
}

// A role is assumed with the credentials found, for all that follows.
func TestAssumeRole(t *testing.T) {
	t.Parallel()
	server := awstest.New(t, awstest.Options{ExternalID: "secret"})
	target := open(t, settings(t, server, map[string]any{
		"assume_role": map[string]any{"role_arn": awstest.RoleARN, "external_id": "secret"},
	}), ami.Options{})
	mustDeploy(t, target, some().request(t, "web"))
	if server.Stats("AssumeRole").Requests != 1 {
		t.Errorf("requests: %q", server.Requests())
	}
}

// Not parallel: credentials come from the environment.
func TestCheckCredentials(t *testing.T) {
	server := awstest.New(t, awstest.Options{})
	t.Run("wrong", func(t *testing.T) {
		t.Setenv("AWS_SECRET_ACCESS_KEY", "wrong")
		problems, err := open(t, settings(t, server, nil), ami.Options{}).Check(t.Context(), planned("web"))
		if err != nil || find(problems, "", "refuses the credentials") == nil {
			t.Errorf("found %v: %v", problems, err)
		}
	})
	t.Run("none", func(t *testing.T) {
		t.Setenv("AWS_ACCESS_KEY_ID", "")
		problems, err := open(t, settings(t, server, nil), ami.Options{}).Check(t.Context(), planned("web"))
		if err != nil || find(problems, "profile", "No AWS credentials") == nil {
			t.Errorf("found %v: %v", problems, err)
		}
	})
	t.Run("metadata that nobody serves", func(t *testing.T) {
		silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
		t.Cleanup(silent.Close)
		t.Setenv("AWS_ACCESS_KEY_ID", "")
		t.Setenv("AWS_EC2_METADATA_DISABLED", "")
		t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", silent.URL)
		problems, err := open(t, settings(t, server, nil), ami.Options{}).Check(t.Context(), planned("web"))
		if err != nil || find(problems, "profile", "No AWS credentials") == nil {
			t.Errorf("found %v: %v", problems, err)
		}
	})
	t.Run("no such profile", func(t *testing.T) {
		s := settings(t, server, map[string]any{"profile": "nobody"})
		var field *deploy.FieldError
		if _, err := ami.New(t.Context(), s, ami.Options{}); !errors.As(err, &field) || field.Field != "profile" {
			t.Errorf("opens with %v", err)
		}
	})
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	stalled := awstest.New(t, awstest.Options{Inject: awstest.First("GetCallerIdentity", 99, awstest.Stall)})
	for name, url := range map[string]string{"refused": gone.URL, "no such name": "http://aws.invalid", "stalled": stalled.URL} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target := open(t, settings(t, stalled, map[string]any{
				"endpoints": map[string]any{"ec2": url, "ebs": url, "sts": url},
			}), ami.Options{})
			if problems, err := target.Check(t.Context(), planned("web")); !errors.Is(err, deploy.ErrUnreachable) {
				t.Errorf("found %v: %v", problems, err)
			}
			if _, _, err := target.Read(t.Context(), deploy.Result{ID: "ami-0123456789abcdef0"}); name != "stalled" && !errors.Is(err, deploy.ErrUnreachable) {
				t.Errorf("reads as %v", err)
			}
		})
	}
}

func TestCheckCancelled(t *testing.T) {
	t.Parallel()
	server := awstest.New(t, awstest.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := open(t, settings(t, server, nil), ami.Options{}).Check(ctx, planned("web")); !errors.Is(err, context.Canceled) {
		t.Errorf("checks with %v", err)
	}
}
