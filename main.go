// Command terraform-provider-pim is an OpenTofu and Terraform provider that makes golden VM images.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"

	"github.com/pim-tools/terraform-provider-pim/internal/provider"
)

// version is set by the linker for a release.
var version = "dev"

func main() {
	var debug bool
	flag.BoolVar(&debug, "debug", false, "serve for a debugger; prints how the CLI attaches to this process")
	flag.Parse()

	work := provider.NewWork(context.Background())
	abandoned := make(chan struct{})
	if !debug {
		go func() {
			endOnSignal(work)
			close(abandoned)
		}()
	}
	served := make(chan error, 1)
	go func() {
		served <- providerserver.Serve(context.Background(), provider.New(version, provider.WithWork(work)), providerserver.ServeOpts{
			Address: "registry.terraform.io/pim-tools/pim",
			Debug:   debug,
		})
	}()
	select {
	case err := <-served:
		if err = errors.Join(err, work.Close()); err != nil {
			log.Fatal(err)
		}
	case <-abandoned:
		_ = work.Close() // nobody listens any more
		os.Exit(1)
	}
}

// endOnSignal handles the signals that would kill the provider in the middle of a build, before QEMU and half-made
// files are cleaned away; go-plugin ignores SIGINT and leaves the rest at their default. A SIGTERM or SIGHUP to the
// process group is a closed terminal or a CI job that is stopped. A SIGPIPE is a CLI that was killed: nobody reads our
// log any more, and the first line a clean-up logs would be our last.
//
// Running builds are cancelled instead. A CLI that got the same signal ends us once it has saved their state. Without
// one endOnSignal returns, and the provider is to end itself.
func endOnSignal(work *provider.Work) {
	parent := os.Getppid()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	for s := range signals {
		if s == syscall.SIGPIPE && os.Getppid() == parent {
			continue // some other connection broke, whose writer gets an error
		}
		work.Cancel()
		work.Wait()
		if os.Getppid() != parent {
			return
		}
	}
}
