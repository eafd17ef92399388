package provider

import (
	"path/filepath"
	"testing"
)

func TestDirectoryResolve(t *testing.T) {
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	home := func() (string, error) { return "/home/me", nil }
	for _, tc := range []struct {
		name       string
		dir        directory
		configured string
		env        map[string]string
		want       string
		fails      bool
	}{
		{name: "default", dir: dataDir, want: "/home/me/.local/share/pim"},
		{name: "environment over default", dir: dataDir, env: map[string]string{"PIM_DATA_DIR": "/srv/pim"}, want: "/srv/pim"},
		{name: "configuration over environment", dir: configDir, configured: "/etc/pim", env: map[string]string{"PIM_CONFIG_DIR": "/x"}, want: "/etc/pim"},
		{name: "tilde", dir: cacheDir, configured: "~/c", want: "/home/me/c"},
		{name: "tilde alone", dir: cacheDir, configured: "~", want: "/home/me"},
		{name: "tilde in the environment", dir: cacheDir, env: map[string]string{"PIM_CACHE_DIR": "~/e"}, want: "/home/me/e"},
		{name: "another's home", dir: cacheDir, configured: "~you/c", fails: true},
		{name: "relative", dir: projectDir, configured: "pim", want: filepath.Join(here, "pim")},
		{name: "no default", dir: projectDir, want: ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			env := environment{getenv: func(k string) string { return tc.env[k] }, home: home}
			got, err := tc.dir.resolve(tc.configured, env)
			if (err != nil) != tc.fails {
				t.Fatalf("error %v", err)
			}
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
