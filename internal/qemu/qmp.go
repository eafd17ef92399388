package qemu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"

	"github.com/digitalocean/go-qemu/qmp"
	"github.com/digitalocean/go-qemu/qmp/raw"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// errMonitorClosed ends every command that waits when QEMU or the connection to it ends.
var errMonitorClosed = errors.New("QEMU closed its monitor")

// monitor is one QMP connection. go-qemu's own hands out a buffer it goes on to write to, ends at replies over
// 64 KiB, stops when nobody reads its events, and knows no context; its typed commands work on this one.
// Protocol: https://www.qemu.org/docs/master/interop/qmp-spec.html
type monitor struct {
	conn    net.Conn
	onEvent func(qmp.Event) // called in order, must not wait for a command
	done    chan struct{}   // closed when the connection has ended

	writes sync.Mutex
	mu     sync.Mutex
	next   uint64
	wait   map[string]chan message // commands sent and not answered, by id
}

// message is anything QEMU says.
type message struct {
	ID     string          `json:"id"`
	Return json.RawMessage `json:"return"`
	Error  *struct {
		Class string `json:"class"`
		Desc  string `json:"desc"`
	} `json:"error"`
	Event string `json:"event"`
	line  json.RawMessage
}

// reply is a whole message that answers a command, or the error it tells.
func (m message) reply() ([]byte, error) {
	if m.Error != nil {
		return nil, errors.New(m.Error.Desc)
	}
	return m.line, nil
}

// dialMonitor connects to a QMP socket and negotiates capabilities.
func dialMonitor(ctx context.Context, d host.Dialer, socket string, onEvent func(qmp.Event)) (*monitor, error) {
	conn, err := d.Dial(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	m := &monitor{conn: conn, onEvent: onEvent, done: make(chan struct{}), wait: map[string]chan message{}}
	go m.read()
	if _, err := m.run(ctx, []byte(`{"execute":"qmp_capabilities"}`)); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot greet QEMU's monitor: %w", err), m.Disconnect())
	}
	return m, nil
}

// read takes QEMU's messages until the connection ends. The greeting has neither id nor event and is passed over.
func (m *monitor) read() {
	defer close(m.done)
	dec := json.NewDecoder(m.conn)
	for {
		var line json.RawMessage
		if dec.Decode(&line) != nil {
			return
		}
		msg := message{line: line}
		if json.Unmarshal(line, &msg) != nil {
			return
		}
		if msg.Event != "" {
			var e qmp.Event
			if json.Unmarshal(line, &e) == nil {
				m.onEvent(e)
			}
			continue
		}
		m.mu.Lock()
		ch := m.wait[msg.ID]
		delete(m.wait, msg.ID)
		m.mu.Unlock()
		if ch != nil {
			ch <- msg
		}
	}
}

// run sends one command and returns QEMU's whole reply, or its error.
func (m *monitor) run(ctx context.Context, command []byte) ([]byte, error) {
	var c map[string]json.RawMessage
	if err := json.Unmarshal(command, &c); err != nil {
		return nil, err
	}
	ch := make(chan message, 1)
	m.mu.Lock()
	m.next++
	id := strconv.FormatUint(m.next, 10)
	m.wait[id] = ch
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		delete(m.wait, id)
		m.mu.Unlock()
	}()
	c["id"] = json.RawMessage(strconv.Quote(id))
	out, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	// The write has a goroutine of its own: not every connection knows deadlines (one through SSH does not), and one
	// that blocks ends with the connection.
	go m.write(append(out, '\n'))
	select {
	case msg := <-ch:
		return msg.reply()
	case <-m.done:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	select {
	case msg := <-ch: // QEMU answers "quit" and is gone
		return msg.reply()
	default:
		return nil, errMonitorClosed
	}
}

// write sends one line. A connection that cannot be written to is over: closing it ends every command that waits.
func (m *monitor) write(line []byte) {
	m.writes.Lock()
	defer m.writes.Unlock()
	if _, err := m.conn.Write(line); err != nil {
		_ = m.conn.Close()
	}
}

// typed gives go-qemu's typed commands, bounded by ctx.
func (m *monitor) typed(ctx context.Context) *raw.Monitor { return raw.NewMonitor(bound{m, ctx}) }

// Disconnect ends the connection; QEMU goes on.
func (m *monitor) Disconnect() error { return m.conn.Close() }

// bound is a monitor as go-qemu wants it, for commands under one context.
type bound struct {
	*monitor
	ctx context.Context //nolint:containedctx // qmp.Monitor has no room for one
}

var _ qmp.Monitor = bound{}

// Connect does nothing: a monitor is connected from the start.
func (bound) Connect() error { return nil }

// Run sends one command.
func (b bound) Run(command []byte) ([]byte, error) { return b.run(b.ctx, command) }

// Events is not how events come here: dialMonitor takes a function for them.
func (bound) Events(context.Context) (<-chan qmp.Event, error) {
	return nil, qmp.ErrEventsNotSupported
}

// QuitAt ends whatever QEMU listens on a QMP socket. It is how a guest that another process left behind is ended
// without mistaking another process for it. When it returns nil, that QEMU has closed its monitor.
func QuitAt(ctx context.Context, d host.Dialer, socket string) error {
	m, err := dialMonitor(ctx, d, socket, func(qmp.Event) {})
	if err != nil {
		return err
	}
	defer m.Disconnect() //nolint:errcheck // the other side ends it
	if err := m.typed(ctx).Quit(); err != nil && !errors.Is(err, errMonitorClosed) {
		return err
	}
	select {
	case <-m.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
