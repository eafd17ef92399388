package ami_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy/ami"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy/ami/awstest"
)

// fitting wants a generation to read as it is recorded, without drift.
func fitting(t *testing.T, target deploy.Target, have deploy.Result) {
	t.Helper()
	now, drift, err := target.Read(t.Context(), have)
	if err != nil || len(drift) > 0 {
		t.Fatalf("drift %q: %v", drift, err)
	}
	if got, want := fmt.Sprintf("%+v", *now), fmt.Sprintf("%+v", have); got != want {
		t.Errorf("reads as %s\nrecorded %s", got, want)
	}
}

// From any settings to any others, Update brings a deployment there, and a Read under the new ones finds it so.
func TestUpdate(t *testing.T) {
	t.Parallel()
	const org = "arn:aws:organizations::111122223333:organization/o-abcdefghij"
	states := map[string]map[string]any{
		"plain":  {},
		"copies": {"regions": []string{other, third}},
		"other copies, shared": {
			"regions": []string{third}, "share_with": []string{buddy}, "tags": map[string]any{"team": "a", "Name": "mine"},
			"deprecate_after": "30d",
		},
		"for all": {"launch_permissions": map[string]any{"groups": []string{"all"}}, "tags": map[string]any{"team": "b", "stage": "x"}},
		"for an organization": {
			"launch_permissions": map[string]any{"organization_arns": []string{org}}, "share_with": []string{buddy, "999988887777"},
			"deprecate_after": "9000h", "regions": []string{other},
		},
	}
	r := some().request(t, "web")
	for from, before := range states {
		for to, after := range states {
			t.Run(from+" to "+to, func(t *testing.T) {
				t.Parallel()
				server := awstest.New(t, awstest.Options{})
				old := open(t, settings(t, server, before), ami.Options{})
				have := mustDeploy(t, old, r)
				fitting(t, old, have)
				target := open(t, settings(t, server, after), ami.Options{})
				_, drift, err := target.Read(t.Context(), have)
				if err != nil || (len(drift) == 0) != (from == to) {
					t.Errorf("before the update: drift %q: %v", drift, err)
				}
				now, err := target.Update(t.Context(), r, have)
				if err != nil {
					t.Fatal(err)
				}
				fitting(t, target, *now)
				if now.ID != have.ID || !now.DeployedAt.Equal(have.DeployedAt) {
					t.Errorf("updated to another: %+v", *now)
				}
				found, err := target.Find(t.Context(), r)
				if err != nil || fmt.Sprintf("%+v", found) != fmt.Sprintf("%+v", now) {
					t.Errorf("finds %+v, not %+v: %v", found, now, err)
				}
				want := len(settings(t, server, after).Regions) + 1
				if have := server.Inventory(); len(have) != 2*want {
					t.Errorf("there is %q", have)
				}
				if err := target.Delete(t.Context(), *now); err != nil {
					t.Error(err)
				}
				empty(t, server)
			})
		}
	}
}

// What is removed or broken by hand is seen, and mended as far as that can be.
func TestTampering(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		do   func(s *awstest.Server, r deploy.Result)
		want string // in the drift
	}{
		"a copy's AMI":  {func(s *awstest.Server, r deploy.Result) { s.Remove(r.AMIs[other]) }, "is gone"},
		"a copy":        {func(s *awstest.Server, r deploy.Result) { s.Remove(r.AMIs[other]); s.Remove(r.Snapshots[other]) }, "is gone"},
		"a copy's disk": {func(s *awstest.Server, r deploy.Result) { s.Remove(r.Snapshots[other]) }, "is gone"},
		"tag":           {func(s *awstest.Server, r deploy.Result) { s.SetTag(r.ID, "team", "x") }, `tag team of`},
		"lost key":      {func(s *awstest.Server, r deploy.Result) { s.RemoveTag(r.Snapshots[home], "pim:key") }, `tag pim:key of`},
		"public":        {func(s *awstest.Server, r deploy.Result) { s.Share(r.ID, "userId="+buddy, "group=all") }, "group all may launch"},
		"not shared":    {func(s *awstest.Server, r deploy.Result) { s.Share(r.AMIs[other]) }, "may not launch"},
		"snapshot shown": {func(s *awstest.Server, r deploy.Result) {
			s.Share(r.Snapshots[home], "userId="+buddy, "userId=123412341234")
		}, "may use"},
		"unfinished": {func(s *awstest.Server, r deploy.Result) { s.SetTag(r.AMIs[other], "pim:unfinished", "true") }, "unfinished"},
		"retired":    {func(s *awstest.Server, r deploy.Result) { s.SetTag(r.AMIs[other], "pim:retired", "x") }, "should not be there"},
	}
	r := some().request(t, "web")
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := awstest.New(t, awstest.Options{})
			target := open(t, settings(t, server, map[string]any{
				"regions": []string{other}, "share_with": []string{buddy}, "tags": map[string]any{"team": "images"},
			}), ami.Options{})
			have := mustDeploy(t, target, r)
			server.SetTag(have.ID, "somebody", "else's") // is nobody's business
			fitting(t, target, have)
			test.do(server, have)
			now, drift, err := target.Read(t.Context(), have)
			if err != nil || len(drift) == 0 || !strings.Contains(strings.Join(drift, "\n"), test.want) {
				t.Fatalf("drift %q: %v", drift, err)
			}
			now, err = target.Update(t.Context(), r, *now)
			if err != nil {
				t.Fatal(err)
			}
			fitting(t, target, *now)
			if err := target.Delete(t.Context(), *now); err != nil {
				t.Error(err)
			}
			empty(t, server)
		})
	}
}

// Without its AMI, or its snapshot, at home a deployment is gone.
func TestGone(t *testing.T) {
	t.Parallel()
	r := some().request(t, "web")
	for name, which := range map[string]func(deploy.Result) string{
		"AMI":      func(r deploy.Result) string { return r.ID },
		"snapshot": func(r deploy.Result) string { return r.Snapshots[home] },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := awstest.New(t, awstest.Options{})
			target := open(t, settings(t, server, map[string]any{"regions": []string{other}}), ami.Options{})
			have := mustDeploy(t, target, r)
			server.Remove(which(have))
			if _, _, err := target.Read(t.Context(), have); !errors.Is(err, deploy.ErrNotFound) {
				t.Errorf("reads as %v", err)
			}
			if err := target.Delete(t.Context(), have); err != nil {
				t.Error(err)
			}
			empty(t, server)
		})
	}
}

// An update that fails keeps what it has, says how far it came, and leaves no half copy.
func TestFailedUpdate(t *testing.T) {
	t.Parallel()
	server := awstest.New(t, awstest.Options{Inject: awstest.Nth("CopyImage", 1, awstest.Later)})
	r := some().request(t, "web")
	have := mustDeploy(t, open(t, settings(t, server, nil), ami.Options{}), r)
	target := open(t, settings(t, server, map[string]any{"regions": []string{other}}), ami.Options{})
	now, err := target.Update(t.Context(), r, have)
	if err == nil || now == nil || now.ID != have.ID || len(now.AMIs) != 1 || len(server.Inventory()) != 2 {
		t.Errorf("updated to %+v: %v; there is %q", now, err, server.Inventory())
	}
	now, err = target.Update(t.Context(), r, *now)
	if err != nil {
		t.Fatal(err)
	}
	fitting(t, target, *now)
}

// An import knows just the AMI's id.
func TestReadByID(t *testing.T) {
	t.Parallel()
	server := awstest.New(t, awstest.Options{})
	target := open(t, settings(t, server, nil), ami.Options{})
	have := mustDeploy(t, target, some().request(t, "web"))
	now, drift, err := target.Read(t.Context(), deploy.Result{ID: have.ID})
	if err != nil || len(drift) > 0 || fmt.Sprintf("%+v", *now) != fmt.Sprintf("%+v", have) {
		t.Errorf("reads as %+v, drift %q, not %+v: %v", now, drift, have, err)
	}
}

// A date of deprecation that has passed while it was not set is set to be soon, and then it is right.
func TestDeprecationInThePast(t *testing.T) {
	t.Parallel()
	var past clock
	past.set(48 * time.Hour)
	server := awstest.New(t, awstest.Options{Now: past.now})
	r := some().request(t, "web")
	have := mustDeploy(t, open(t, settings(t, server, nil), ami.Options{}), r)
	past.set(0)
	target := open(t, settings(t, server, map[string]any{"deprecate_after": "1d"}), ami.Options{})
	now, err := target.Update(t.Context(), r, have)
	if err != nil {
		t.Fatal(err)
	}
	fitting(t, target, *now)
}

// Encryption: with the default key, and with keys of one's own in each region.
func TestEncrypted(t *testing.T) {
	t.Parallel()
	r := some().request(t, "web")
	for name, change := range map[string]map[string]any{
		"default": {"encrypted": true, "regions": []string{other}},
		"own keys": {
			"encrypted": true, "kms_key_id": awstest.KMSKey(home), "regions": []string{other},
			"kms_key_ids": map[string]any{other: awstest.KMSKey(other)}, "share_with": []string{buddy},
		},
		"only the copy": {"regions": []string{other}, "kms_key_ids": map[string]any{other: awstest.KMSKey(other)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := awstest.New(t, awstest.Options{})
			target := open(t, settings(t, server, change), ami.Options{})
			have := mustDeploy(t, target, r)
			fitting(t, target, have)
			keys := map[string]string{}
			for region, id := range have.Snapshots {
				keys[region] = server.Snapshot(id).Key
			}
			switch name {
			case "default":
				if keys[home] == "" || keys[other] == "" || keys[home] == awstest.KMSKey(home) {
					t.Errorf("keys %v", keys)
				}
			case "own keys":
				if keys[home] != awstest.KMSKey(home) || keys[other] != awstest.KMSKey(other) {
					t.Errorf("keys %v", keys)
				}
			default:
				if keys[home] != "" || keys[other] != awstest.KMSKey(other) {
					t.Errorf("keys %v", keys)
				}
			}
			if got := slices.Sorted(maps.Keys(have.AMIs)); !slices.Equal(got, []string{home, other}) {
				t.Errorf("AMIs in %v", got)
			}
		})
	}
}
