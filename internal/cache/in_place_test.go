package cache

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// An image of the remote's own store is used there where it is, and any other file goes there from here.
func TestEnsureImageOfRemote(t *testing.T) {
	there := &remoteHost{Host: host.NewLocal()}
	remote, _ := remoteStore(t, there)
	img := publishedOn(t, remote, "an image")
	base := ISO{Name: "base", Path: img.Path, SHA256: img.Manifest.SHA256, Kind: "base image"}
	got, err := remote.EnsureISO(t.Context(), base, nil)
	if err != nil || got != img.Path {
		t.Fatalf("%s, %v", got, err)
	}
	if n := there.read.Load(); n > 1<<14 {
		t.Errorf("%d bytes were read of the image", n)
	}

	other := base // of this machine: an image of another content is not taken for it
	other.SHA256 = strings.Repeat("0", 64)
	var wrong *ChecksumError
	if _, err := remote.EnsureISO(t.Context(), other, nil); !errors.As(err, &wrong) {
		t.Errorf("another content: %v", err)
	}

	gone := base
	gone.Path = filepath.Join(t.TempDir(), "gone.qcow2")
	_, err = remote.EnsureISO(t.Context(), gone, nil)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), `cannot get base image "base": `+gone.Path) || !strings.Contains(err.Error(), "on remote") {
		t.Errorf("a file that is nowhere: %v", err)
	}
}

// A damaged image there is not used.
func TestEnsureDamagedImageOfRemote(t *testing.T) {
	remote, _ := remoteStore(t, &remoteHost{Host: host.NewLocal()})
	img := publishedOn(t, remote, "an image")
	if err := os.WriteFile(img.Path, []byte("An image, damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := remote.EnsureISO(t.Context(), ISO{Path: img.Path, SHA256: img.Manifest.SHA256}, nil)
	var wrong *ChecksumError // "here" is the same file
	if !errors.As(err, &wrong) {
		t.Errorf("%v", err)
	}
}
