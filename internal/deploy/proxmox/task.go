package proxmox

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
)

const (
	// logLines is how much of a failed task's log goes into the error.
	logLines = 15
	// wholeLog is more lines than a task writes: the API has no way to ask for the last ones.
	wholeLog = 5000
)

// taskError is a task that failed.
type taskError struct {
	UPID string
	Exit string   // its exit status, what the worker died of
	Log  []string // its last lines
}

func (e *taskError) Error() string {
	msg := fmt.Sprintf("task %s on node %s failed: %s", upidField(e.UPID, upidType), upidField(e.UPID, upidNode), e.Exit)
	if len(e.Log) > 0 {
		msg += "\nits log ends with\n  " + strings.Join(e.Log, "\n  ")
	}
	return msg
}

// The fields of UPID:NODE:PID:PSTART:STARTTIME:TYPE:ID:USER:
const (
	upidNode = 1
	upidType = 5
	upidUser = 7
)

func upidField(upid string, n int) string {
	if fields := strings.Split(upid, ":"); n < len(fields) {
		return fields[n]
	}
	return ""
}

func taskPath(upid string) string {
	return "/nodes/" + upidField(upid, upidNode) + "/tasks/" + url.PathEscape(upid)
}

// await waits for the end of a task and gives its exit status: OK, or WARNINGS: n. When it failed the error is a
// *taskError. An empty upid is a request that began none.
func (c *client) await(ctx context.Context, upid string) (exit string, err error) {
	if upid == "" {
		return "", nil
	}
	for unknown := 0; ; {
		var status object
		err := c.get(ctx, taskPath(upid)+"/status", nil, &status)
		switch {
		case answered(err, http.StatusBadRequest, "no such task") && unknown < c.pace.Attempts: // just begun
			unknown++
		case err != nil:
			return "", err
		case status["status"] == "stopped":
			exit := status["exitstatus"]
			if exit == "OK" || strings.HasPrefix(exit, "WARNINGS: ") {
				return exit, nil
			}
			return exit, &taskError{UPID: upid, Exit: exit, Log: c.tail(ctx, upid)}
		}
		if err := c.wait(ctx, c.pace.Poll); err != nil {
			return "", err
		}
	}
}

// through waits for a task that is better not stopped half-way, though ctx ends.
func (c *client) through(ctx context.Context, upid string) (exit string, err error) {
	ctx, cancel := deploy.Lasting(ctx)
	defer cancel()
	return c.await(ctx, upid)
}

// tail is the end of a task's log, as far as it can be read: it only explains an error.
func (c *client) tail(ctx context.Context, upid string) []string {
	var rows []object
	if c.get(ctx, taskPath(upid)+"/log", params{"limit": strconv.Itoa(wholeLog)}, &rows) != nil {
		return nil
	}
	var lines []string
	for _, r := range rows {
		if line := strings.TrimSpace(r["t"]); line != "" {
			lines = append(lines, line)
		}
	}
	return lines[max(0, len(lines)-logLines):]
}

// stop ends a task and waits until it has.
func (c *client) stop(ctx context.Context, upid string) error {
	_, err := c.change(ctx, http.MethodDelete, taskPath(upid), nil, repeatable)
	if err != nil {
		return fmt.Errorf("cannot stop task %s: %w", upid, err)
	}
	_, err = c.await(ctx, upid)
	var failed *taskError
	if errors.As(err, &failed) {
		return nil
	}
	return err
}

// running are the tasks of a kind that our user has at work on a node, on one VM or, with 0, on any.
func (c *client) running(ctx context.Context, node, kind string, vmid int64) ([]string, error) {
	p := params{"source": "active", "typefilter": kind}
	if vmid != 0 {
		p["vmid"] = strconv.FormatInt(vmid, 10)
	}
	var rows []object
	if err := c.get(ctx, "/nodes/"+node+"/tasks", p, &rows); err != nil {
		return nil, err
	}
	var upids []string
	for _, r := range rows {
		if r["endtime"] == "" && upidField(r["upid"], upidUser) == c.user() {
			upids = append(upids, r["upid"])
		}
	}
	return upids, nil
}

// became is the outcome of a request that a task carries out: such a task is at work on the VM, or its configuration is
// as it should be afterwards. That is nil for a VM that does not exist.
func (c *client) became(node string, vmid int64, kind string, is func(config object) bool) outcome {
	return func(ctx context.Context) (string, bool, error) {
		upids, err := c.running(ctx, node, kind, vmid)
		if err != nil {
			return "", false, err
		}
		if len(upids) > 0 {
			return upids[0], true, nil
		}
		config, err := c.config(ctx, node, vmid)
		if err != nil && !noConfig(err) {
			return "", false, err
		}
		return "", is(config), nil
	}
}

// repeatable is the outcome of a request that can be made again without looking.
func repeatable(context.Context) (string, bool, error) { return "", false, nil }
