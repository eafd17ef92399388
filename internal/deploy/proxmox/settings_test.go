package proxmox

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
)

const someToken = "pim@pve!test=01234567-89ab-cdef-0123-456789abcdef"

func TestComplete(t *testing.T) {
	t.Parallel()
	s := Settings{Host: "pve1.example", Storage: "local-lvm", Fingerprint: strings.Repeat("AB:", 31) + "AB"}
	want := Settings{
		Endpoint: "https://pve1.example:8006", Storage: "local-lvm", ImportStorage: "local", CloudInitStorage: "local-lvm",
		TemplateIDStart: 9000, Bridge: "vmbr0", Cores: 2, Memory: 2048, CPUType: "x86-64-v2-AES", Fingerprint: strings.Repeat("ab", 32),
	}
	for range 2 { // what is complete stays as it is
		if problems := s.Complete(); len(problems) > 0 {
			t.Fatal(problems)
		}
		if !reflect.DeepEqual(s, want) {
			t.Errorf("completed to %+v", s)
		}
	}
}

func TestSettingsProblems(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		field string
		set   Settings
	}{
		{"storage", Settings{Storage: ""}},
		{"storage", Settings{Storage: "a b"}},
		{"host", Settings{Host: "a", Endpoint: "https://a:8006"}},
		{"endpoint", Settings{Endpoint: "http://a:8006"}},
		{"endpoint", Settings{Endpoint: "pve1"}},
		{"endpoint", Settings{Endpoint: "https://u:p@pve1"}},
		{"endpoint", Settings{Host: "pve1/path"}},
		{"node", Settings{Node: "-a"}},
		{"import_storage", Settings{ImportStorage: "a:b"}},
		{"cloud_init_storage", Settings{CloudInitStorage: "?"}},
		{"pool", Settings{Pool: "a b"}},
		{"template_id", Settings{TemplateID: 99}},
		{"template_id_start", Settings{TemplateIDStart: maxID + 1}},
		{"template_id_start", Settings{TemplateID: 100, TemplateIDStart: 100}},
		{"bridge", Settings{Bridge: "vmbr0,tag=1"}},
		{"cores", Settings{Cores: -1}},
		{"memory", Settings{Memory: 8}},
		{"cpu_type", Settings{CPUType: "host,flags=+aes"}},
		{"tags", Settings{Tags: []string{"a;b"}}},
		{"tags", Settings{Tags: []string{"PIM-retired"}}},
		{"fingerprint", Settings{Fingerprint: "ab"}},
		{"insecure", Settings{Insecure: true, CAFile: "ca.pem"}},
		{"api_token", Settings{APIToken: "secret"}},
		{"api_token", Settings{APIToken: someToken, Username: "root@pam", PasswordFile: "x"}},
		{"api_token_file", Settings{APIToken: someToken, APITokenFile: "x"}},
		{"username", Settings{Username: "root"}},
		{"username", Settings{Password: "x"}},
		{"password_file", Settings{Username: "root@pam", Password: "x", PasswordFile: "x"}},
	} {
		if tc.set.Storage == "" && tc.field != "storage" {
			tc.set.Storage = "local-lvm"
		}
		problems := tc.set.Complete()
		if len(problems) != 1 || problems[0].Field != tc.field {
			t.Errorf("%s: %v", tc.field, problems)
		}
		if text := fmt.Sprint(problems); strings.Contains(text, someToken) {
			t.Errorf("%s: the secret is in %q", tc.field, text)
		}
	}
}

// TestEffects has every field in one place or another, on purpose.
func TestEffects(t *testing.T) {
	t.Parallel()
	by := map[deploy.Effect][]string{}
	for _, f := range deploy.Fields(Settings{}) {
		by[Effect(f)] = append(by[Effect(f)], f)
	}
	for effect, want := range map[deploy.Effect]string{
		deploy.Move:     "endpoint host",
		deploy.Recreate: "node storage cloud_init_storage template_id pool",
		deploy.InPlace:  "bridge cores memory cpu_type tags",
		deploy.Nothing: "import_storage template_id_start ca_file fingerprint insecure api_token api_token_file username password " +
			"password_file",
	} {
		if got := strings.Join(by[effect], " "); got != want {
			t.Errorf("effect %d: %s", effect, got)
		}
	}
}

func TestStored(t *testing.T) {
	t.Parallel()
	s := Settings{Storage: "a1", Tags: []string{"x"}, APIToken: someToken, Password: "hush", Insecure: true}
	stored, err := deploy.Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprint(stored); strings.Contains(text, someToken) || strings.Contains(text, "hush") {
		t.Errorf("stored %s", text)
	}
	var back Settings
	if err := deploy.DecodeStored(stored, &back); err != nil || !slices.Equal(back.Tags, s.Tags) || !back.Insecure {
		t.Errorf("read back %+v: %v", back, err)
	}
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(someToken+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		s     Settings
		want  credentials
		fails string
	}{
		"given": {
			Settings{Endpoint: "https://own", APIToken: someToken, Insecure: true},
			credentials{Endpoint: "https://own:8006", APIToken: someToken, Insecure: true},
			"",
		},
		"from a file": {
			Settings{Endpoint: "https://own:8006", APITokenFile: file},
			credentials{Endpoint: "https://own:8006", APIToken: someToken},
			"",
		},
		"a login": {
			Settings{Endpoint: "https://own", Username: "root@pam", Password: "x", Fingerprint: "AB:CD"},
			credentials{Endpoint: "https://own:8006", Username: "root@pam", Password: "x", Fingerprint: "abcd"},
			"",
		},
		"nowhere":     {Settings{APIToken: someToken}, credentials{}, "endpoint: "},
		"nobody":      {Settings{Endpoint: "https://own"}, credentials{}, "api_token: "},
		"no password": {Settings{Endpoint: "https://own", Username: "root@pam"}, credentials{}, "api_token: "},
		"no file":     {Settings{Endpoint: "https://own", APITokenFile: file + "2"}, credentials{}, "api_token_file: "},
	} {
		got, err := tc.s.credentials()
		if tc.fails != "" {
			if err == nil || !strings.HasPrefix(err.Error(), tc.fails) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil || got != tc.want {
			t.Errorf("%s: %+v: %v", name, struct{ c credentials }{got}, err)
		}
	}
	own := credentials{APIToken: someToken}
	if text := fmt.Sprintf("%v %+v %#v", own, own, own); strings.Contains(text, someToken) {
		t.Errorf("printed as %s", text)
	}
}
