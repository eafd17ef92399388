package pvetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// task is a worker: it runs beside the request that started it, and its result is only ever in its status.
type task struct {
	upid    string
	node    string
	pid     int
	started int64
	typ     string
	id      string
	user    string
	fail    string // what it fails with once its work is as good as done, "" for not at all
	stop    context.CancelCauseFunc
	done    chan struct{} // closed at the end

	mu       sync.Mutex
	lines    []string
	warnings int
	exit     string // "" while it runs
	ended    int64
	late     int // so many looks find no such task
}

// Crashed is what a task fails with whose worker was killed: it has cleaned up nothing.
const Crashed = "unexpected status"

var (
	errInterrupted = die("received interrupt")
	errCrashed     = die(Crashed)
)

// start begins a task. Its error is the exit status; what it made by then it has removed itself, unless it crashed.
func (s *Server) start(typ, id, node, user string, work func(context.Context, *task) error) *task {
	ctx, stop := context.WithCancelCause(s.ctx)
	s.mu.Lock()
	s.pid++
	t := &task{
		node: node, pid: s.pid, started: time.Now().Unix(), typ: typ, id: id, user: user, stop: stop,
		done: make(chan struct{}), late: s.opts.LateTasks,
	}
	t.upid = fmt.Sprintf("UPID:%s:%08X:%08X:%08X:%s:%s:%s:", node, t.pid, t.pid*7, t.started, typ, id, user)
	s.tasks[t.upid] = t
	s.order = append(s.order, t.upid)
	if s.failTask != nil {
		t.fail = s.failTask(typ, id)
	}
	s.mu.Unlock()
	s.work.Go(func() {
		pause(ctx, s.opts.TaskDelay)
		t.finish(work(ctx, t))
		stop(nil)
	})
	return t
}

// step is called before what cannot be undone. It fails when the task was stopped, or is to fail.
func (t *task) step(ctx context.Context) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case t.fail == Crashed:
		return errCrashed
	case t.fail != "":
		return die("%s", t.fail)
	}
	return nil
}

func (t *task) finish(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case errors.Is(err, errCrashed):
		t.exit = Crashed
	case err != nil:
		t.exit = firstLine(err)
		t.lines = append(t.lines, "TASK ERROR: "+t.exit)
	case t.warnings > 0:
		t.exit = fmt.Sprintf("WARNINGS: %d", t.warnings)
		t.lines = append(t.lines, "TASK "+t.exit)
	default:
		t.exit = "OK"
		t.lines = append(t.lines, "TASK OK")
	}
	t.ended = time.Now().Unix()
	close(t.done)
}

// print adds a line to the log.
func (t *task) print(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, strings.TrimSuffix(fmt.Sprintf(format, args...), "\n"))
}

// warn adds a warning to the log, which then shows in the exit status.
func (t *task) warn(format string, args ...any) {
	t.print("WARN: "+format, args...)
	t.mu.Lock()
	t.warnings++
	t.mu.Unlock()
}

func (t *task) failed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.exit != "" && t.exit != "OK" && !strings.HasPrefix(t.exit, "WARNINGS:")
}

func (t *task) running() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.exit == ""
}

// describe is what lists and status have in common.
func (t *task) describe() map[string]any {
	t.mu.Lock()
	defer t.mu.Unlock()
	user, token, ok := strings.Cut(t.user, "!")
	out := map[string]any{
		"upid": t.upid, "node": t.node, "pid": t.pid, "pstart": t.pid * 7, "starttime": t.started, "type": t.typ, "id": t.id,
		"user": user,
	}
	if ok {
		out["tokenid"] = token
	}
	return out
}

var upidText = regexp.MustCompile(`^UPID:[a-zA-Z0-9-]+:[0-9A-F]{8,9}:[0-9A-F]{8,9}:[0-9A-F]{8}:[^:\s]+:[^:\s]*:[^:\s]+:$`)

// taskParam is the task that a request names. Somebody else's wants a privilege on the node.
func (c *call) taskParam(priv string) (*task, error) {
	upid := c.params["upid"]
	if !upidText.MatchString(upid) {
		return nil, wrongParam("upid", "unable to parse worker upid")
	}
	c.mu.Lock()
	t := c.tasks[upid]
	c.mu.Unlock()
	if t == nil || t.isLate() {
		return nil, wrongParam("upid", "no such task")
	}
	if !owns(c.user, t) {
		if err := c.need(c.user, "/nodes/"+c.params["node"], priv); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func (t *task) isLate() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.late--
	return t.late >= 0
}

// owns tells whether a task is a user's: its own, or one of its tokens'.
func owns(user string, t *task) bool { return t.user == user || strings.HasPrefix(t.user, user+"!") }

// taskStatus is GET /nodes/{node}/tasks/{upid}/status.
func taskStatus(c *call) (any, error) {
	t, err := c.taskParam("Sys.Audit")
	if err != nil {
		return nil, err
	}
	out := t.describe()
	t.mu.Lock()
	defer t.mu.Unlock()
	if out["status"] = "running"; t.exit != "" {
		out["status"], out["exitstatus"] = "stopped", t.exit
	}
	return out, nil
}

// taskLog is GET /nodes/{node}/tasks/{upid}/log.
func taskLog(c *call) (any, error) {
	t, err := c.taskParam("Sys.Audit")
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	c.total = len(t.lines)
	from, limit := c.intParam("start", 0), c.intParam("limit", 50)
	list := []map[string]any{}
	for i := from; i < len(t.lines) && (limit == 0 || i < from+limit); i++ {
		list = append(list, map[string]any{"n": i + 1, "t": t.lines[i]})
	}
	if len(t.lines) == 0 {
		list = append(list, map[string]any{"n": 1, "t": "no content"})
	}
	return list, nil
}

// intParam reads a number that the schema has checked.
func (c *call) intParam(name string, otherwise int) int {
	n, err := strconv.Atoi(c.params[name])
	if err != nil {
		return otherwise
	}
	return n
}

// stopTask is DELETE /nodes/{node}/tasks/{upid}: the worker gets a signal, cleans up and ends.
func stopTask(c *call) (any, error) {
	t, err := c.taskParam("Sys.Modify")
	if err != nil {
		return nil, err
	}
	t.stop(errInterrupted)
	return nil, nil
}

// listTasks is GET /nodes/{node}/tasks, newest first; only what has ended unless the source is active or all.
func listTasks(c *call) (any, error) {
	node := c.params["node"]
	auditor := c.need(c.user, "/nodes/"+node, "Sys.Audit") == nil
	source := c.params["source"]
	start, limit := c.intParam("start", 0), c.intParam("limit", 50)
	list := []map[string]any{}
	for _, t := range c.recent() {
		entry := t.describe()
		t.mu.Lock()
		exit, ended := t.exit, t.ended
		t.mu.Unlock()
		status := statusKind(exit)
		switch {
		case t.node != node || !auditor && !owns(c.user, t),
			c.params["vmid"] != "" && c.params["vmid"] != t.id,
			c.params["typefilter"] != "" && c.params["typefilter"] != t.typ,
			c.params["userfilter"] != "" && !strings.Contains(t.user, c.params["userfilter"]),
			c.params["errors"] == "1" && status == "ok",
			c.params["statusfilter"] != "" && !slices.Contains(splitList(c.params["statusfilter"]), status),
			int(t.started) < c.intParam("since", 0),
			int(t.started) > c.intParam("until", int(t.started)),
			exit == "" && source != "active" && source != "all",
			exit != "" && source == "active":
			continue
		}
		if c.total++; c.total <= start || len(list) >= limit {
			continue
		}
		if entry["status"] = "RUNNING"; exit != "" {
			entry["status"], entry["endtime"] = exit, ended
		}
		list = append(list, entry)
	}
	return list, nil
}

func statusKind(exit string) string {
	switch {
	case exit == "OK":
		return "ok"
	case strings.HasPrefix(exit, "WARNINGS:"):
		return "warning"
	case exit == "" || exit == Crashed:
		return "unknown"
	}
	return "error"
}

// clusterTasks is GET /cluster/tasks: the recent tasks of all nodes, running or not, that the user may see.
func clusterTasks(c *call) (any, error) {
	list := []map[string]any{}
	for _, t := range c.recent() {
		if !owns(c.user, t) && c.need(c.user, "/nodes/"+t.node, "Sys.Audit") != nil {
			continue
		}
		entry := t.describe()
		t.mu.Lock()
		if t.exit != "" {
			entry["status"], entry["endtime"] = t.exit, t.ended
		}
		t.mu.Unlock()
		list = append(list, entry)
	}
	return list, nil
}

// recent lists the tasks, newest first.
func (s *Server) recent() []*task {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*task, 0, len(s.order))
	for _, upid := range slices.Backward(s.order) {
		list = append(list, s.tasks[upid])
	}
	return list
}

// Wait waits until no task runs any more, at most a while. It answers the UPIDs of those that still do.
func (s *Server) Wait(limit time.Duration) []string {
	timeout := time.After(limit)
	for _, t := range s.recent() {
		select {
		case <-t.done:
		case <-timeout:
			s.mu.Lock()
			defer s.mu.Unlock()
			return slices.DeleteFunc(slices.Sorted(maps.Keys(s.tasks)), func(u string) bool { return !s.tasks[u].running() })
		}
	}
	return nil
}
