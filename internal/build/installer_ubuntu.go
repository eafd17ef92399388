package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/media"
	"github.com/pim-tools/terraform-provider-pim/internal/preseed"
)

const (
	// reportFile and logFiles are the names below the server's path that the installer posts to.
	reportFile = "report"
	logFiles   = "logs/"
	// installerLogs is the folder in the build directory that keeps what it posted.
	installerLogs = "installer-logs"

	maxEvents = 25 // how many of its last reports a diagnostic shows
	maxLogs   = 50 // how many logs are kept
)

// ubuntuInstaller is subiquity, in the live system of a casper ISO. It reports what it does, and when it has failed it
// sends its logs and then waits for a person who is not there.
type ubuntuInstaller struct {
	*state
	secrets []string // what must not get into a log

	mu     sync.Mutex
	events []string // the last notable reports
	cause  string   // the first report of a failure
	logs   []string // names of the logs that came
	ended  sync.Once
	end    chan struct{} // closed when it has failed and its logs are here, or when it goes on after a failure
}

func (*ubuntuInstaller) takes(kind string) bool { return kind == media.UbuntuCasper }

func (*ubuntuInstaller) advice(kind string) string {
	const use = "Use an Ubuntu live-server ISO."
	if kind != "" {
		return `It is Debian's installer: set installer to "debian", or leave it out. Or: ` + use
	}
	return use
}

// answer serves the documents, or puts them on a volume that cloud-init knows by its label.
func (u *ubuntuInstaller) answer(ctx context.Context, base string) ([]string, error) {
	values := u.Preseed.Values
	values.InstallURL, values.ReportURL, values.LogURL = base+installFile, base+reportFile, base+logFiles
	a := preseed.Autoinstall{Values: values, Over: u.Autoinstall.Over}
	docs, err := a.Documents()
	if err != nil {
		return nil, err
	}
	u.secrets = a.Secrets()
	u.server.Receive(reportFile, func(_ string, body []byte) { u.report(ctx, body) })
	u.server.Receive(logFiles, func(name string, body []byte) { u.keepLog(ctx, name, body) })
	if u.Autoinstall.Seed {
		return u.seed(docs)
	}
	for name, text := range docs {
		u.server.Add(name, text)
	}
	return nil, nil
}

func (u *ubuntuInstaller) seed(docs map[string][]byte) ([]string, error) {
	for name, text := range docs {
		if len(text) == 0 {
			delete(docs, name)
		}
	}
	image, err := media.Seed(docs)
	if err != nil {
		return nil, err
	}
	path := u.path("answers.iso")
	u.Defer("remove the installer's seed", func(context.Context) error { return u.Host.RemoveAll(path) })
	if err := host.WriteFile(u.Host, path, image, 0o600); err != nil {
		return nil, fmt.Errorf("cannot write the installer's seed: %w", err)
	}
	return []string{path}, nil
}

// preamble hands the password over: it must not be on the command line that the installer reports.
func (u *ubuntuInstaller) preamble() string {
	return "PIM_PASSWORD_HASH='" + u.Preseed.Values.PasswordHash + "'\n"
}

// commandLine: "autoinstall" answers the question whether the disk may be written to. cloud-init of every version that
// is on an ISO (20.1 to 26.1) takes ds=nocloud for a URL, and dsmode=net: before 23.2 it would take that for local
// otherwise, and never act on the user-data. nocloud-net says both at once, and is deprecated since 24.1. A seed it finds by
// its label; with ds=nocloud, which is an answer already, it would not wait for one. No shell or boot loader
// reads this line, so nothing is quoted. The medium was verified already, and nobody is there to take it out. Sources:
// cloud-init's DataSourceNoCloud.py; casper(7); Ubuntu's "Autoinstall quick start".
func (u *ubuntuInstaller) commandLine(base string) []string {
	args := []string{"autoinstall", "fsck.mode=skip", "noprompt"}
	if !u.Autoinstall.Seed {
		args = append(args, "ds=nocloud;dsmode=net;s="+base)
	}
	return args
}

// report takes what the installer's webhook posts.
func (u *ubuntuInstaller) report(ctx context.Context, body []byte) {
	r, err := preseed.ParseReport(body)
	if err != nil {
		u.note(ctx, "install", "report", "cannot be read: "+u.redact(err.Error()))
		return
	}
	if !r.Notable() {
		return
	}
	text := u.redact(r.String())
	u.note(ctx, "install", "report", text)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.events = append(u.events, text)
	u.events = u.events[max(0, len(u.events)-maxEvents):]
	if r.Swallowed() || u.cause == "" && r.Failed() {
		u.cause = text
	}
	if r.Swallowed() { // it would install a system without its updates to the end
		u.ended.Do(func() { close(u.end) })
	}
}

var logName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

// keepLog keeps what the installer's error-commands post. The last of it tells that all is there.
func (u *ubuntuInstaller) keepLog(ctx context.Context, name string, body []byte) {
	if name == preseed.LogsEnd {
		u.ended.Do(func() { close(u.end) })
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if !logName.MatchString(name) || len(u.logs) >= maxLogs && !slices.Contains(u.logs, name) {
		u.note(ctx, "install", "log", "refused one of the installer's")
		return
	}
	dir := u.path(installerLogs)
	err := u.Host.MkdirAll(dir, 0o700)
	if err == nil {
		err = host.WriteFile(u.Host, dir+"/"+name, []byte(u.redact(string(body))), os.FileMode(0o600))
	}
	if err != nil {
		u.note(ctx, "install", "log", "cannot keep "+name+": "+err.Error())
		return
	}
	u.note(ctx, "install", "log", dir+"/"+name)
	if !slices.Contains(u.logs, name) {
		u.logs = append(u.logs, name)
	}
}

// redact is text without the server's token and the secrets of the answers.
func (u *ubuntuInstaller) redact(text string) string {
	text = u.server.Redact(text)
	for _, s := range u.secrets {
		text = strings.ReplaceAll(text, s, "<secret>")
	}
	return text
}

func (u *ubuntuInstaller) failed() <-chan struct{} { return u.end }

func (u *ubuntuInstaller) failure() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.cause == "" {
		return errors.New("the installer failed")
	}
	return fmt.Errorf("the installer failed: %s", u.cause)
}

func (u *ubuntuInstaller) evidence(e *Error) {
	e.Unasked = "user-data"
	if u.Autoinstall.Seed {
		e.Unasked = "post-install script"
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	e.Reports = slices.Clone(u.events)
	if len(u.logs) > 0 {
		e.Logs = u.path(installerLogs)
	}
}
