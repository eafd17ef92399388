package profile

import (
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// BenchmarkResolve is what every plan does for every image: read the configuration and resolve a profile.
func BenchmarkResolve(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		c, err := Load(Options{ConfigDir: "../../examples/demo/pim"})
		if err != nil {
			b.Fatal(err)
		}
		iso := &ISO{Name: "test", URL: "https://example.test/a.iso", SHA256: "00"}
		if _, err := c.Resolve(Request{Name: "demo", Arch: host.X86_64, ISO: iso}); err != nil {
			b.Fatal(err)
		}
	}
}
