package build

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/preseed"
	"github.com/pim-tools/terraform-provider-pim/internal/provision"
)

// Secrets of the answers.
const (
	testHash  = "$6$salt$secretive"
	testProxy = "http://user:secretive@10.0.2.2:3128/"
	testOver  = "network: {version: 2, wifis: {all: {access-points: {site: {password: secretive-passphrase}}}}}\n"
)

// ubuntuBuild is a build from an ISO as Ubuntu's are laid out, whose kernel does what code says.
func ubuntuBuild(t *testing.T, h host.Host, code []byte) (*Builder, Spec) {
	t.Helper()
	b, s := testBuildOn(t, h, installer(halt))
	s = withISO(t, s, code, "casper/vmlinuz", "casper/initrd")
	s.Preseed = Preseed{Values: preseed.Values{
		Hostname: "h", Username: "ubuntu", Locale: "C.UTF-8", Keyboard: "us", Timezone: "Etc/UTC",
		Arch: host.X86_64, Disk: "/dev/vda", PasswordHash: testHash, HTTPProxy: testProxy,
	}}
	s.Autoinstall = &Autoinstall{Over: []byte(testOver)}
	return b, s
}

// TestFailingUbuntuInstaller has the test report in the guest's place what subiquity does when it fails.
func TestFailingUbuntuInstaller(t *testing.T) { onEachHost(t, failingUbuntuInstaller) }

func failingUbuntuInstaller(t *testing.T, h host.Host) {
	b, s := ubuntuBuild(t, h, halt)
	var base string
	st, failed := failsTold(t, b, s, func(url string) {
		base = url
		asSubiquity(t, base)
	})
	for _, want := range []string{
		"the installer failed: FAIL subiquity/Late/run/command_0",
		"Last reports of the installer:", "  subiquity/Install/install installing system",
		"GET /<token>/user-data 200", "Logs of the installer: " + st.path(installerLogs),
	} {
		if !strings.Contains(failed.Detail(), want) {
			t.Errorf("the detail does not say %q:\n%s", want, failed.Detail())
		}
	}
	token := strings.Split(base, "/")[3]
	noSecrets(t, failed.Detail(), token)
	logs, err := filepath.Glob(filepath.Join(st.path(installerLogs), "*"))
	if err != nil || len(logs) != 1 {
		t.Errorf("logs %v, %v", logs, err)
	}
	for _, name := range append(logs, st.path(LogName), st.path("events.jsonl")) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		noSecrets(t, string(text), token)
	}
	onlyLogs(t, b, s)
}

// failsTold installs until the build fails, and does something in the guest's place once that runs, with the server's URL.
func failsTold(t *testing.T, b *Builder, s Spec, tell func(base string)) (*state, *Error) {
	t.Helper()
	started := make(chan struct{})
	b.Progress = func(_ context.Context, m string) {
		t.Log(m)
		if strings.Contains(m, "guest: start") {
			close(started)
		}
	}
	st := begun(t, b, s)
	result := make(chan error, 1)
	go func() {
		_, err := st.run(t.Context(), installSteps)
		result <- err
	}()
	select {
	case <-started:
	case err := <-result:
		t.Fatal(err)
	}
	tell(st.server.BaseURL("127.0.0.1"))
	var failed *Error
	if err := <-result; !errors.As(err, &failed) {
		t.Fatalf("error %v", err)
	}
	return st, failed
}

// TestUbuntuInstallerThatSwallowsAFailure: subiquity would go on without the updates.
func TestUbuntuInstallerThatSwallowsAFailure(t *testing.T) {
	b, s := ubuntuBuild(t, host.NewLocal(), halt)
	_, failed := failsTold(t, b, s, func(base string) {
		post(t, base+reportFile, `{"name":"subiquity/Retried","description":"no route","event_type":"finish","level":"INFO","result":"FAIL"}`)
		post(t, base+reportFile, `{"name":"subiquity/Install/install/postinstall/run_unattended_upgrades",`+
			`"description":"FAILED to apply all updates","event_type":"finish","level":"INFO","result":"SUCCESS"}`)
	})
	const want = "the installer failed: subiquity/Install/install/postinstall/run_unattended_upgrades FAILED to apply all updates"
	if !strings.Contains(failed.Detail(), want) {
		t.Errorf("the detail does not say %q:\n%s", want, failed.Detail())
	}
	onlyLogs(t, b, s)
}

func post(t *testing.T, url, body string) {
	t.Helper()
	resp, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
}

// asSubiquity fetches the answers, reports that a late-command failed, and sends a log that holds secrets.
func asSubiquity(t *testing.T, base string) {
	t.Helper()
	for _, name := range []string{preseed.NetworkConfig, preseed.MetaData, preseed.UserData, preseed.VendorData} {
		resp, err := http.Get(base + name)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		if err := errors.Join(err, resp.Body.Close()); err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s, %v", name, resp.Status, err)
		}
		if name == preseed.UserData && (!strings.Contains(string(text), testHash) || !strings.Contains(string(text), "secretive-passphrase")) {
			t.Errorf("user-data:\n%s", text)
		}
	}
	for _, p := range []struct{ name, body string }{
		{reportFile, `{"name":"subiquity/Install/install","description":"installing system","event_type":"start","level":"INFO"}`},
		{reportFile, `{"name":"subiquity/Install/detail","description":"noise","event_type":"start","level":"DEBUG"}`},
		{reportFile, `{"name":"subiquity/Late/run/command_0","description":"wget ` + base + `install.sh","event_type":"finish","level":"ERROR","result":"FAIL"}`},
		{reportFile, `no report`},
		{logFiles + "installer_subiquity-server-debug.log", "a log with " + testHash + ", " + testProxy + ", user:secretive and " + base},
		{logFiles + "../escape", "x"},
		{logFiles + preseed.LogsEnd, "failed\n"},
	} {
		post(t, base+p.name, p.body)
	}
}

func noSecrets(t *testing.T, text, token string) {
	t.Helper()
	for _, secret := range []string{"secretive", token} {
		if strings.Contains(text, secret) {
			t.Errorf("%q is in:\n%s", secret, text)
		}
	}
}

func TestUbuntuInstallerThatEndsTooEarly(t *testing.T) {
	b, s := ubuntuBuild(t, host.NewLocal(), reboot)
	fails(t, b, s, "install", "without running the post-install script", "never asked for its user-data")
	onlyLogs(t, b, s)
}

// TestUbuntuAnswers looks at what is put together for the guest, for both ways of delivery.
func TestUbuntuAnswers(t *testing.T) {
	for name, seed := range map[string]bool{"http": false, "seed": true} {
		t.Run(name, func(t *testing.T) {
			b, s := ubuntuBuild(t, host.NewLocal(), halt)
			key := inputs(t, s).Key()
			s.Autoinstall.Seed = seed
			if inputs(t, s).Key() != key {
				t.Error("the way of delivery is in the key")
			}
			st := begun(t, b, s)
			st.installer = st.chooseInstaller()
			id, err := provision.NewIdentity()
			if err != nil {
				t.Fatal(err)
			}
			base, drives, err := st.serve(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			line := " " + st.commandLine(base)
			want, drive := " ds=nocloud;dsmode=net;s="+base+" ", ""
			if seed {
				want, drive = " noprompt console=tty0 ", st.path("answers.iso") // nothing about a data source
			}
			if !strings.HasPrefix(line, " autoinstall") || !strings.Contains(line, want) || strings.Join(drives, " ") != drive {
				t.Errorf("command line %q, drives %v", line, drives)
			}
			if resp, err := http.Get(strings.Replace(base, "10.0.2.2", "127.0.0.1", 1) + preseed.UserData); err != nil || (resp.StatusCode == http.StatusOK) == seed {
				t.Errorf("user-data over HTTP: %v, %v", resp.Status, err)
			}
			resp, err := http.Get(strings.Replace(base, "10.0.2.2", "127.0.0.1", 1) + installFile)
			if err != nil {
				t.Fatal(err)
			}
			script, err := io.ReadAll(resp.Body)
			if err := errors.Join(err, resp.Body.Close()); err != nil || !strings.Contains(string(script), "PIM_PASSWORD_HASH='"+testHash+"'\n") {
				t.Errorf("%v, script:\n%s", err, script)
			}
			if err := errors.Join(st.cleanUp(t.Context(), nil), st.log.Close()); err != nil {
				t.Error(err)
			}
			onlyLogs(t, b, s)
		})
	}
}
