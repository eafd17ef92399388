package build

import (
	"errors"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/host/hosttest"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu/qemutest"
)

// BenchmarkInputs is what every plan does for every image: render the answers, digest the parts, compute the key.
func BenchmarkInputs(b *testing.B) {
	s := testSpec()
	s.Scripts[0].Body = make([]byte, 1<<20)
	b.SetBytes(1 << 20)
	b.ReportAllocs()
	for b.Loop() {
		in, err := s.Inputs()
		if err != nil {
			b.Fatal(err)
		}
		_ = in.Key()
	}
}

// BenchmarkBuild is a build whose guest does nothing, on this machine and through SSH: what the pipeline itself takes.
func BenchmarkBuild(b *testing.B) {
	qemutest.Need(b)
	var local time.Duration
	for _, name := range []string{"local", "ssh"} {
		b.Run(name, func(b *testing.B) {
			h := host.Host(host.NewLocal())
			if name == "ssh" {
				h = hosttest.StartSSHD(b).Connect(b)
			}
			builder, spec := testBuildOn(b, h, installer(reboot))
			builder.Progress = nil
			for b.Loop() {
				var failed *Error
				if _, err := builder.Build(b.Context(), spec); !errors.As(err, &failed) || failed.Step != "install" {
					b.Fatal(err)
				}
			}
			each := b.Elapsed() / time.Duration(b.N)
			if name == "local" {
				local = each
			}
			b.ReportMetric((each - local).Seconds(), "s_more")
		})
	}
}
