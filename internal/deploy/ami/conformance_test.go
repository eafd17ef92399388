package ami_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy/ami"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy/ami/awstest"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy/deploytest"
)

const (
	home  = "eu-central-1"
	other = "us-east-1"
	third = "eu-south-1"
	buddy = "444455556666" // an account to share with
)

// TestMain keeps the developer's own AWS configuration out.
func TestMain(m *testing.M) {
	for k, v := range map[string]string{
		"AWS_ACCESS_KEY_ID": awstest.AccessKey, "AWS_SECRET_ACCESS_KEY": awstest.SecretKey, "AWS_SESSION_TOKEN": "",
		"AWS_PROFILE": "", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_MAX_ATTEMPTS": "", "AWS_ENDPOINT_URL": "",
	} {
		if err := os.Setenv(k, v); err != nil {
			panic(err)
		}
	}
	if os.Getenv(childEnv) != "" {
		os.Exit(child())
	}
	os.Exit(m.Run())
}

// pace is a pace for tests; what hangs is given up soon, because it is tried again.
func pace() deploy.Pace {
	p := deploytest.Pace()
	p.Idle = 700 * time.Millisecond
	return p
}

// settings are for a server of awstest.
func settings(t testing.TB, server *awstest.Server, change map[string]any) ami.Settings {
	t.Helper()
	fields := map[string]any{
		"region":    home,
		"endpoints": map[string]any{"ec2": server.URL, "ebs": server.URL, "sts": server.URL},
	}
	maps.Copy(fields, change)
	var s ami.Settings
	if err := deploy.Decode(fields, &s); err != nil {
		t.Fatal(err)
	}
	if problems := s.Complete(); len(problems) > 0 {
		t.Fatalf("the settings have problems: %v", problems)
	}
	return s
}

func open(t testing.TB, s ami.Settings, o ami.Options) deploy.Target {
	t.Helper()
	if o.Pace == (deploy.Pace{}) {
		o.Pace = pace()
	}
	target, err := ami.New(t.Context(), s, o)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

type world struct {
	*awstest.Server
}

func (w world) Target(t *testing.T, change map[string]any) deploy.Target {
	t.Helper()
	usual := map[string]any{
		"regions": []string{other}, "share_with": []string{buddy}, "deprecate_after": "90d", "tags": map[string]string{"team": "images"},
	}
	maps.Copy(usual, change)
	return open(t, settings(t, w.Server, usual), ami.Options{})
}

func (w world) Inventory(*testing.T) []string { return w.Server.Inventory() }

func (w world) Of(_ *testing.T, r deploy.Result) []string {
	var mine []string
	for _, line := range w.Server.Inventory() {
		for _, ids := range []map[string]string{r.AMIs, r.Snapshots} {
			for region, id := range ids {
				if line == region+" "+id {
					mine = append(mine, line)
				}
			}
		}
	}
	return mine
}

func (w world) Remove(_ *testing.T, r deploy.Result) {
	for _, ids := range []map[string]string{r.AMIs, r.Snapshots} {
		for _, region := range slices.Sorted(maps.Keys(ids)) {
			w.Server.Remove(ids[region])
		}
	}
}

func (w world) Tamper(t *testing.T, r deploy.Result) {
	t.Helper()
	w.SetTag(r.AMIs[home], "team", "nobody")
	w.RemoveTag(r.Snapshots[other], "pim:key")
	w.Share(r.ID, "userId=999999999999")
	w.Share(r.Snapshots[other])
}

func (w world) Disk(t *testing.T, r deploy.Result) string {
	t.Helper()
	return raw(t, w.Server, r.Snapshots[home])
}

// raw is the path of a raw file with a snapshot's disk.
func raw(t testing.TB, server *awstest.Server, snapshot string) string {
	t.Helper()
	s := server.Snapshot(snapshot)
	if s == nil {
		t.Fatalf("there is no %s", snapshot)
	}
	f, err := os.Create(filepath.Join(t.TempDir(), fmt.Sprintf("%s.raw", snapshot)))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := s.WriteRaw(f); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

func TestConformance(t *testing.T) {
	t.Parallel()
	deploytest.Run(t, func(t *testing.T) deploytest.World {
		return world{awstest.New(t, awstest.Options{})}
	})
}
