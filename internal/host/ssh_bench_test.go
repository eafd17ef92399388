package host_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/host/hosttest"
)

// benchSize is how much each benchmark moves, in bytes.
const benchSize = 256 << 20

// BenchmarkSSH compares what moves bytes with scp through the same server: x_scp is the ratio of speeds.
func BenchmarkSSH(b *testing.B) {
	s := hosttest.StartSSHD(b)
	h, err := host.DialSSH(b.Context(), s.Client())
	if err != nil {
		b.Fatal(err)
	}
	defer h.Close()
	dir := b.TempDir()
	source, target := filepath.Join(dir, "source"), filepath.Join(dir, "target")
	if err := exec.Command("sh", "-c", fmt.Sprintf("head -c %d /dev/urandom >%s", benchSize, source)).Run(); err != nil {
		b.Fatal(err)
	}
	var scp time.Duration
	for name, run := range map[string]func() error{
		"upload":   func() error { return upload(h, source, target) },
		"download": func() error { return download(h, source, target) },
		"tunnel":   func() error { return tunnel(b.Context(), h) },
	} {
		if scp, err = scpTime(s, name == "download", source, target); err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.SetBytes(benchSize)
			for b.Loop() {
				if err := run(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(scp.Seconds()/(b.Elapsed().Seconds()/float64(b.N)), "x_scp")
		})
	}
	b.Run("command", func(b *testing.B) {
		for b.Loop() {
			if err := h.Run(b.Context(), host.Cmd{Argv: []string{"true"}}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func scpTime(s *hosttest.SSHD, down bool, source, target string) (time.Duration, error) {
	from, to := source, s.User+"@127.0.0.1:"+target
	if down {
		from, to = s.User+"@127.0.0.1:"+source, target
	}
	cmd := exec.Command("scp", "-q", "-F", "none", "-P", fmt.Sprint(s.Port), "-i", s.Identity,
		"-o", "UserKnownHostsFile="+s.KnownHosts, "-o", "IdentitiesOnly=yes", from, to)
	start := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("scp: %w: %s", err, out)
	}
	return time.Since(start), nil
}

func upload(h host.Files, source, target string) error {
	in, err := os.Open(source)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := h.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

func download(h host.Files, source, target string) error {
	in, err := h.OpenFile(source, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(target)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// tunnel moves bytes through a dialled connection.
func tunnel(ctx context.Context, h host.Dialer) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer ln.Close()
	go func() {
		if c, err := ln.Accept(); err == nil {
			_, _ = io.CopyN(c, zeros{}, benchSize)
			_ = c.Close()
		}
	}()
	c, err := h.Dial(ctx, "tcp", ln.Addr().String())
	if err != nil {
		return err
	}
	defer c.Close()
	if n, err := io.Copy(io.Discard, c); err != nil || n != benchSize {
		return fmt.Errorf("%d bytes: %w", n, err)
	}
	return nil
}
