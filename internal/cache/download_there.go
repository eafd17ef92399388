package cache

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// tellEvery is how often it is looked how far a download on another machine is.
const tellEvery = 5 * time.Second

// runThere has a remote machine's own curl download the file, so that its bytes do not travel by way of this one. It
// tells whether the file is there now, with the content wanted. It is not where that machine has no curl, cannot reach
// the server, or gets something else; then run does it from here, and its error is the one to show. Errors: ctx's, and
// the loss of the connection.
func (d *download) runThere(ctx context.Context, want string) (bool, error) {
	curl, err := d.h.LookPath("curl")
	if err != nil {
		return false, unlessDisconnected(err)
	}
	err = d.told(ctx, func(ctx context.Context) error {
		return d.h.Run(ctx, host.Cmd{
			// What is there of an earlier try is gone on with; the digest tells whether it was a beginning of this file.
			Argv: []string{
				curl, "--disable", "--fail", "--silent", "--location", "--proto", "=http,https", "--retry", strconv.Itoa(attempts),
				"--speed-limit", "1", "--speed-time", strconv.Itoa(int(d.idle.Seconds())),
				"--continue-at", "-", "--output", d.part, "--config", "-",
			},
			Stdin: strings.NewReader("url = " + strconv.Quote(d.url) + "\n"), // not an argument: it may hold a password, or a signature
		})
	})
	var got string
	if err == nil {
		got, err = d.hash(ctx, d.part)
	}
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case errors.Is(err, host.ErrDisconnected):
		return false, err
	case err != nil || got != want:
		return false, d.discard() // run could not tell what it is a piece of
	}
	return true, host.Publish(d.h, d.part, d.file)
}

func unlessDisconnected(err error) error {
	if errors.Is(err, host.ErrDisconnected) {
		return err
	}
	return nil
}

// told calls progress with the size of the part file while f runs.
func (d *download) told(ctx context.Context, f func(context.Context) error) error {
	if d.progress == nil {
		return f(ctx)
	}
	ended := make(chan struct{})
	told := make(chan struct{})
	go func() {
		defer close(told)
		tick := time.NewTicker(tellEvery)
		defer tick.Stop()
		for {
			select {
			case <-ended:
				return
			case <-tick.C:
				d.progress(d.have(), 0)
			}
		}
	}()
	err := f(ctx)
	close(ended)
	<-told
	return err
}
