package qemu

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// qmpCommand is what a client sends.
type qmpCommand struct {
	Execute   string          `json:"execute"`
	Arguments json.RawMessage `json:"arguments"`
	ID        json.RawMessage `json:"id"`
}

// qmpServer is the server's side of one connection. It is used by one goroutine.
type qmpServer struct {
	net.Conn
	dec *json.Decoder
}

// say writes one line. That the client has gone is for the client's test to notice.
func (s *qmpServer) say(format string, args ...any) { _, _ = fmt.Fprintf(s, format+"\r\n", args...) }

func (s *qmpServer) answer(c qmpCommand, result string) {
	s.say(`{"return": %s, "id": %s}`, result, c.ID)
}

// hear reads the next command; false at the connection's end.
func (s *qmpServer) hear() (c qmpCommand, ok bool) { return c, s.dec.Decode(&c) == nil }

// greet does what every QEMU does first.
func (s *qmpServer) greet() {
	s.say(`{"QMP": {"version": {"qemu": {"micro": 0, "minor": 2, "major": 7}, "package": ""}, "capabilities": ["oob"]}}`)
	if c, ok := s.hear(); ok && c.Execute == "qmp_capabilities" {
		s.answer(c, "{}")
	}
}

// serveQMP runs serve for every connection to a new unix socket, whose path it returns. A connection is closed when
// serve returns, all are when the test ends.
func serveQMP(t *testing.T, serve func(s *qmpServer)) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "pim-qmp")
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	var listen net.ListenConfig
	l, err := listen.Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var conns []net.Conn
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
			running.Go(func() {
				defer conn.Close()
				serve(&qmpServer{conn, json.NewDecoder(conn)})
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, conn := range conns {
			_ = conn.Close()
		}
		mu.Unlock()
		running.Wait()
		_ = os.RemoveAll(dir)
	})
	return socket
}
