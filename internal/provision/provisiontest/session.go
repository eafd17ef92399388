package provisiontest

import (
	"errors"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
)

// session runs the one command of a session. Like sshd, it gives the command a session of its own, does not end
// it when the client goes, and takes it for ended when nothing holds its output open any more.
func (s *Server) session(request ssh.NewChannel, conn net.Conn, faults Faults) {
	ch, requests, err := request.Accept()
	if err != nil {
		return
	}
	defer ch.Close()
	for r := range requests {
		var command struct{ Line string }
		ok := r.Type == "exec" && ssh.Unmarshal(r.Payload, &command) == nil
		_ = r.Reply(ok, nil)
		if !ok {
			continue
		}
		go ssh.DiscardRequests(requests) // as for a root login, signals are ignored
		status := s.command(command.Line, ch, &cutter{ch, conn, faults.CutAfter})
		_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{status}))
		return
	}
}

func (s *Server) command(line string, ch ssh.Channel, stdout io.Writer) uint32 {
	cmd := exec.CommandContext(s.ctx, "sh", "-c", line)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.WaitDelay = time.Second
	cmd.Dir = filepath.Join(s.Root, "root")
	cmd.Env = []string{
		"PATH=" + s.stubs() + ":/usr/local/bin:/usr/bin:/bin", // none of the system's own tools
		"HOME=" + cmd.Dir, "PIM_ROOT=" + s.Root,
	}
	cmd.Stdout, cmd.Stderr = stdout, ch.Stderr()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return 255
	}
	go func() {
		_, _ = io.Copy(stdin, ch)
		_ = stdin.Close()
	}()
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit) && exit.ExitCode() >= 0:
		return uint32(exit.ExitCode())
	}
	return 255
}

// cutter closes the connection once it has carried so many bytes.
type cutter struct {
	io.Writer
	conn net.Conn
	left int // 0 for no end
}

func (c *cutter) Write(p []byte) (int, error) {
	switch {
	case c.left == 0:
		return c.Writer.Write(p)
	case c.left < 0:
		return 0, io.ErrClosedPipe
	}
	n, err := c.Writer.Write(p[:min(len(p), c.left)])
	if c.left -= n; c.left == 0 {
		_ = c.conn.Close()
		c.left = -1
	}
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return n, err
}
