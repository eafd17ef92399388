// Command debtest prepares a real Debian installer on this machine and runs a command beside the package proxy
// the installer needs:
//
//	debtest [-dir DIR] [-arch ARCH] -- COMMAND ARGS…
//
// The command gets PIM_DEBTEST_ISO, PIM_DEBTEST_ISO_SHA256, PIM_DEBTEST_PROXY (the proxy's address for a guest
// of QEMU's user networking) and PIM_DEBTEST_BOOT_ARGS (kernel parameters, may be empty) in its environment;
// debtest ends with the command's exit status. Without a command it only prepares, and prints the values that
// do not need a running proxy.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/debtest"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// Exit statuses of debtest itself, as shells and env(1) use them.
const (
	exitFailure = 125
	exitUsage   = 2
)

// stopDelay is how long the command may take to end after debtest was told to.
const stopDelay = 2 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is main with its surroundings passed in; it gives the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("debtest", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprintln(stderr, "usage: debtest [-dir DIR] [-arch ARCH] [-- COMMAND ARGS…]")
		flags.PrintDefaults()
	}
	dir := flags.String("dir", defaultDir(), "folder that keeps the installer and the package files")
	arch := flags.String("arch", string(host.X86_64), "architecture the installer is for: x86_64 or arm64")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return exitUsage
	}
	begin := time.Now()
	progress := func(line string) {
		fmt.Fprintf(stderr, "debtest %5.1fs  %s\n", time.Since(begin).Seconds(), line)
	}
	kit, err := debtest.Prepare(ctx, *dir, host.Arch(*arch), progress)
	if err != nil {
		fmt.Fprintln(stderr, "debtest:", err)
		return exitFailure
	}
	if flags.NArg() == 0 {
		fmt.Fprintln(stdout, strings.Join(kitEnv(kit), "\n"))
		return 0
	}
	code, err := runBeside(ctx, kit, flags.Args(), stdout, stderr)
	if err != nil {
		fmt.Fprintln(stderr, "debtest:", err)
	}
	return code
}

// defaultDir is below the user's cache folder, or below the temporary folder when there is none.
func defaultDir() string {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	return filepath.Join(cache, "terraform-provider-pim", "debtest")
}

// kitEnv are the environment settings that describe a kit.
func kitEnv(kit *debtest.Kit) []string {
	return []string{
		"PIM_DEBTEST_ISO=" + kit.ISO,
		"PIM_DEBTEST_ISO_SHA256=" + kit.SHA256,
		"PIM_DEBTEST_BOOT_ARGS=" + strings.Join(kit.BootArgs(), " "),
	}
}

// runBeside runs the command while the kit is served and gives the command's exit status. When ctx ends the
// command is asked to terminate; a terminal's Ctrl-C reaches it directly as well.
func runBeside(ctx context.Context, kit *debtest.Kit, argv []string, stdout, stderr io.Writer) (code int, err error) {
	// The proxy outlives a cancelled command, which may still be cleaning up.
	proxy, err := kit.Serve(context.WithoutCancel(ctx))
	if err != nil {
		return exitFailure, err
	}
	defer func() { err = errors.Join(err, proxy.Close()) }()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopDelay
	cmd.Env = append(append(os.Environ(), kitEnv(kit)...), "PIM_DEBTEST_PROXY="+proxy.GuestURL)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, stdout, stderr
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &exit) && exit.ExitCode() >= 0:
		return exit.ExitCode(), nil
	default:
		return exitFailure, fmt.Errorf("run %s: %w", argv[0], err)
	}
}
