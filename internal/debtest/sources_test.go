package debtest

import (
	"errors"
	"testing"
	"testing/fstest"
)

func TestFindMirrors(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		files          map[string]string
		env            string
		main, security string
		wantErr        error
	}{
		"one-line": {
			files:    map[string]string{"sources.list": "# deb http://old.example.test/debian a main\ndeb http://a.example.test/debian trixie main # own\ndeb http://a.example.test/debian-security trixie-security main\n"},
			main:     "http://a.example.test/debian/",
			security: "http://a.example.test/debian-security/",
		},
		"one-line with options and tabs": {
			files: map[string]string{"sources.list.d/x.list": "deb\t[arch=amd64 signed-by=/k.gpg]\thttps://b.example.test/pub/debian/\ttrixie main\n"},
			main:  "https://b.example.test/pub/debian/",
		},
		"deb822": {
			files: map[string]string{"sources.list.d/debian.sources": "Types: deb deb-src\n# a comment between\nURIs: http://c.example.test:8080/debian\n http://d.example.test/debian-security\nSuites: trixie\nComponents: main\n"},
			main:  "http://c.example.test:8080/debian/", security: "http://d.example.test/debian-security/",
		},
		"deb822 disabled and sources only are passed over": {
			files: map[string]string{"sources.list.d/debian.sources": "Enabled: no\nTypes: deb\nURIs: http://off.example.test/debian\n\nTypes: deb-src\nURIs: http://src.example.test/debian\n\nTypes: deb\nURIs: http://on.example.test/debian\n"},
			main:  "http://on.example.test/debian/",
		},
		"order and foreign file names": {
			files: map[string]string{
				"sources.list.d/a.sources.disabled": "Types: deb\nURIs: http://no.example.test/debian\n",
				"sources.list.d/b.list":             "deb http://first.example.test/debian x main\n",
				"sources.list.d/c.sources":          "Types: deb\nURIs: http://second.example.test/debian\n",
			},
			main: "http://first.example.test/debian/",
		},
		"other schemes and archives": {
			files:   map[string]string{"sources.list": "deb cdrom:[Debian]/ trixie main\ndeb file:/srv/debian trixie main\ndeb http://e.example.test/ubuntu noble main\ndeb [broken\ndeb\n"},
			wantErr: ErrNoMirror,
		},
		"environment wins": {
			files: map[string]string{"sources.list": "deb http://a.example.test/debian trixie main\n"},
			env:   "http://env.example.test/debian",
			main:  "http://env.example.test/debian/",
		},
		"nothing": {wantErr: ErrNoMirror},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := fstest.MapFS{}
			for file, text := range tc.files {
				root["etc/apt/"+file] = &fstest.MapFile{Data: []byte(text)}
			}
			got, err := FindMirrors(root, func(string) string { return tc.env })
			if !errors.Is(err, tc.wantErr) {
				t.Fatalf("error %v, want %v", err, tc.wantErr)
			}
			if err != nil {
				return
			}
			if got.Main.String() != tc.main {
				t.Errorf("main %s, want %s", got.Main, tc.main)
			}
			security := ""
			if got.Security != nil {
				security = got.Security.String()
			}
			if security != tc.security {
				t.Errorf("security %q, want %q", security, tc.security)
			}
		})
	}
}

func TestFindMirrorsRejectsBadOverride(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"http://example.test/ubuntu", "ftp://example.test/debian", "debian", "http:///debian"} {
		if _, err := FindMirrors(fstest.MapFS{}, func(string) string { return value }); err == nil {
			t.Errorf("%s=%s was accepted", MirrorEnv, value)
		}
	}
}
