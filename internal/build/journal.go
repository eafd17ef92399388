package build

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"sync"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// LogName is the name of a build's log in its directory, cache.Store.BuildDir.
const LogName = "build.log"

// journal is the log of one build: LogName for a person, events.jsonl for a program. It is safe for
// concurrent use; a write that fails is kept for Close, because a full disk must not hide why a build failed.
type journal struct {
	path string // of LogName

	mu     sync.Mutex
	text   logFile
	events logFile
	err    error
}

// event is a line of events.jsonl.
type event struct {
	Time   time.Time `json:"time"`
	Step   string    `json:"step"`
	Event  string    `json:"event"`
	Detail string    `json:"detail,omitempty"`
}

func openJournal(h host.Files, dir string) (*journal, error) {
	j := &journal{path: path.Join(dir, LogName)}
	j.text, j.events = logFile{h: h, path: j.path}, logFile{h: h, path: path.Join(dir, "events.jsonl")}
	if err := j.text.open(); err != nil {
		return nil, fmt.Errorf("cannot open the build log: %w", err)
	}
	if err := j.events.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot open the event log: %w", err), j.text.close())
	}
	return j, nil
}

// Write appends the guest's output as it comes.
func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.keep(j.text.append(p))
	return len(p), nil
}

// Event appends one event to both logs.
func (j *journal) Event(step, name, detail string) {
	e := event{time.Now().UTC(), step, name, detail}
	line, err := json.Marshal(e)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.keep(errors.Join(err,
		j.events.append(append(line, '\n')),
		j.text.append(fmt.Appendf(nil, "%s [%s] %s %s\n", e.Time.Format(time.TimeOnly), step, name, detail))))
}

// keep remembers the first thing that went wrong: what follows is mostly the same again.
func (j *journal) keep(err error) {
	if j.err == nil {
		j.err = err
	}
}

// Close flushes both logs and returns the first thing that went wrong with them.
func (j *journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return errors.Join(j.err, j.text.close(), j.events.close())
}
