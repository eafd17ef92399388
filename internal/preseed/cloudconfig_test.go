package preseed

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

func TestCloudConfig(t *testing.T) {
	for name, tt := range map[string]struct {
		values Values
		access string
	}{
		"cloud-full.yml":  {full(), "#!/bin/sh\necho 'let it in'\n"},
		"cloud-shown.yml": {full().WithoutSecrets(), ""},
		"cloud-least.yml": {Values{Hostname: "golden"}, ""},
	} {
		got, err := CloudConfig(tt.values, tt.access)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(file, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("differs from %s; got:\n%s", file, got)
		}
		var doc map[string]any
		if err := yaml.Unmarshal(got, &doc); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCloudConfigKeyboard(t *testing.T) {
	for keymap, want := range map[string]keyboard{
		"us": {"us", ""}, "dvorak": {"us", "dvorak"}, "de(nodeadkeys)": {"de", "nodeadkeys"},
	} {
		got, err := CloudConfig(Values{Hostname: "golden", Keyboard: keymap}, "")
		var doc struct{ Keyboard keyboard }
		if err := errors.Join(err, yaml.Unmarshal(got, &doc)); err != nil || doc.Keyboard != want {
			t.Errorf("%s: %+v, %v", keymap, doc.Keyboard, err)
		}
	}
}

func TestCloudConfigLocale(t *testing.T) {
	for name, want := range map[string]string{"de_DE": "de_DE.UTF-8", "de_DE.UTF-8": "de_DE.UTF-8", "de_DE@euro": "de_DE@euro", "C": "C"} {
		got, err := CloudConfig(Values{Hostname: "golden", Locale: name}, "")
		if err != nil || !strings.Contains(string(got), "\n    - "+want+"\n") || !strings.Contains(string(got), "\nlocale: "+want+"\n") {
			t.Errorf("%s: %v, %s", name, err, got)
		}
	}
}

func TestCloudConfigTellsNoSecret(t *testing.T) {
	v := full()
	got, err := CloudConfig(v.WithoutSecrets(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{v.PasswordHash, v.HTTPProxy} {
		if secret == "" || strings.Contains(string(got), secret) {
			t.Errorf("%q is in the seed", secret)
		}
	}
}

func TestCloudConfigRefusesValues(t *testing.T) {
	if _, err := CloudConfig(Values{Hostname: "a\nb"}, ""); err == nil || !strings.Contains(err.Error(), "Hostname") {
		t.Errorf("got %v", err)
	}
}
