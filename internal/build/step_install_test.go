package build

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/provision"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu"
)

// TestServe fetches the answers where the guest would: on the machine that it runs on.
func TestServe(t *testing.T) { onEachHost(t, serveAnswers) }

func serveAnswers(t *testing.T, h host.Host) {
	b, s := testBuildOn(t, h, installer(halt))
	st := begun(t, b, s)
	id, err := provision.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	st.installer = st.chooseInstaller()
	base, drives, err := st.serve(t.Context(), id)
	if err != nil || drives != nil {
		t.Fatal(drives, err)
	}
	resp, err := http.Get(strings.Replace(base+preseedFile, qemu.GuestGateway, "127.0.0.1", 1))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answers, err := io.ReadAll(resp.Body)
	if want := base + installFile; err != nil || !strings.Contains(string(answers), want) {
		t.Errorf("%s %q, %v; want %s in it", resp.Status, answers, err, want)
	}
	if n := len(st.server.Requests()); n != 1 {
		t.Errorf("%d requests were noted", n)
	}
	if err := st.cleanUp(t.Context(), nil); err != nil {
		t.Error(err)
	}
	if err := st.log.Close(); err != nil {
		t.Error(err)
	}
}
