package provision_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/provision"
)

func TestAwaitCloudInit(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ status, want, tail string }{
		"done":            {done, "", ""},
		"error":           {`echo '{"status": "error", "errors": ["no package nginx"]}'; exit 1`, "no package nginx", "E: Unable to locate|the end"},
		"no cloud-init":   {"echo not found >&2; exit 127", "not found", ""},
		"recoverable one": {`echo '{"status": "done", "errors": [], "recoverable_errors": {"WARNING": ["x"]}}'; exit 2`, "", ""},
	} {
		s, g := connect(t)
		s.Stub("cloud-init", tc.status)
		s.Stub("tail", "echo E: Unable to locate; echo the end")
		err := g.AwaitCloudInit(t.Context())
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
		var failed *provision.CloudInitError
		if errors.As(err, &failed) != (tc.tail != "") || failed != nil && strings.Join(failed.Tail, "|") != tc.tail {
			t.Errorf("%s: %+v", name, failed)
		}
	}
}

func TestAwaitCloudInitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s, g := connect(t)
	s.Stub("cloud-init", "sleep 600")
	errLimit := errors.New("cloud-init did not finish within a second")
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errLimit)
	defer cancel()
	if err := g.AwaitCloudInit(ctx); !errors.Is(err, errLimit) {
		t.Errorf("got %v", err)
	}
}
