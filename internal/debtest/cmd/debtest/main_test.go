package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/debtest"
)

func TestCommandGetsTheKitAndItsStatusIsOurs(t *testing.T) {
	t.Parallel()
	kit := &debtest.Kit{ISO: "/some/image.iso", SHA256: "abc", Overlaid: true}
	var stdout, stderr bytes.Buffer
	script := `echo "$PIM_DEBTEST_ISO $PIM_DEBTEST_ISO_SHA256 $PIM_DEBTEST_BOOT_ARGS $PIM_DEBTEST_PROXY"; exit 7`
	code, err := runBeside(t.Context(), kit, []string{"sh", "-c", script}, &stdout, &stderr)
	if code != 7 || err != nil {
		t.Errorf("status %d, %v", code, err)
	}
	want := "/some/image.iso abc debian-installer/allow_unauthenticated=true http://10.0.2.2:"
	if !strings.HasPrefix(stdout.String(), want) {
		t.Errorf("the command saw %q", stdout.String())
	}
}

func TestCommandThatDoesNotStart(t *testing.T) {
	t.Parallel()
	code, err := runBeside(t.Context(), &debtest.Kit{}, []string{"/nonexistent/program"}, nil, nil)
	if code != exitFailure || err == nil {
		t.Errorf("status %d, %v", code, err)
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"-unknown"}, &stdout, &stderr); code != exitUsage {
		t.Errorf("status %d for an unknown flag", code)
	}
	if code := run(t.Context(), []string{"-h"}, &stdout, &stderr); code != 0 || !strings.Contains(stderr.String(), "usage:") {
		t.Errorf("status %d for -h: %s", code, stderr.String())
	}
}
