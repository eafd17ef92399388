package pvetest_test

import (
	"context"
	"io"
	"net/http"
	"runtime"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy/deploytest"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy/proxmox/pvetest"
)

// TestFaults: a refused request is not carried out, a lost one is, a hung one waits for its client to go.
func TestFaults(t *testing.T) {
	t.Parallel()
	c := newClient(t, pvetest.Options{})
	create := func() (reply, error) {
		return c.try("POST", "/nodes/pve1/qemu", "application/x-www-form-urlencoded", reader("vmid=9000"))
	}
	c.s.Faults().Arm(1, deploytest.Refuse)
	r, err := create()
	if err != nil || r.status != 596 || r.reason != "Connection timed out" || r.body != "" || len(c.s.Inventory()) > 0 {
		t.Errorf("refused: %d %s %q %v, %q", r.status, r.reason, r.body, err, c.s.Inventory())
	}
	c.s.Faults().Arm(1, deploytest.Hang)
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.s.URL+"/api2/json/version", nil)
	must(t, err)
	done := make(chan error)
	go func() {
		resp, err := c.http.Do(req)
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
		done <- err
	}()
	for len(c.s.Faults().Requests()) == 0 {
		runtime.Gosched() // until the request has arrived
	}
	cancel()
	if err := <-done; err == nil {
		t.Error("a hung request was answered")
	}
	c.s.Faults().Arm(1, deploytest.Lose)
	if r, err := create(); err == nil {
		t.Errorf("a lost request was answered: %d %s", r.status, r.reason)
	}
	if have := c.s.Inventory(); len(have) != 1 || have[0] != "vm pve1/9000 stopped" {
		t.Errorf("after a lost create there is %q", have)
	}
	if log := c.s.Requests(); len(log) != 1 || log[0].String() != "POST /nodes/pve1/qemu" || log[0].Params["vmid"] != "9000" {
		t.Errorf("the log is %v", log)
	}
}
