// Command terraform-provider-pim is an OpenTofu and Terraform provider that makes golden VM images.
package main

import (
	"context"
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
	if !debug {
		go endOnSignal(work)
	}
	err := providerserver.Serve(context.Background(), provider.New(version, provider.WithWork(work)), providerserver.ServeOpts{
		Address: "registry.terraform.io/pim-tools/pim",
		Debug:   debug,
	})
	if err != nil {
		log.Fatal(err)
	}
}

// endOnSignal handles the signals that would kill the provider in the middle of a build. go-plugin ignores SIGINT
// and leaves the rest at their default, so a SIGTERM or SIGHUP to the process group (a closed terminal, a CI job
// that is stopped) would end us before QEMU and the half-made files are cleaned away. Running builds are
// cancelled instead; the CLI, which got the same signal, ends us once it has saved their state. Without a CLI left
// to do that, the provider ends itself.
func endOnSignal(work *provider.Work) {
	parent := os.Getppid()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGHUP)
	for range signals {
		work.Cancel()
		work.Wait()
		if os.Getppid() != parent {
			os.Exit(1)
		}
	}
}
