package hosttest

import (
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
)

// relay carries bytes between a client and a server, until it is told not to.
type relay struct {
	client, server net.Conn
	left           atomic.Int64 // bytes to carry, when limited
	limited        bool
	frozen, over   chan struct{}
	freezing, end  sync.Once
}

// run returns once the connection is over.
func (r *relay) run() {
	var both sync.WaitGroup
	both.Go(func() { r.carry(r.server, r.client) })
	both.Go(func() { r.carry(r.client, r.server) })
	<-r.over
	_ = r.client.Close()
	_ = r.server.Close()
	both.Wait()
}

func (r *relay) carry(to io.Writer, from io.Reader) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		select {
		case <-r.frozen:
			<-r.over
			return
		default:
		}
		if r.limited && r.left.Add(-int64(n)) < 0 {
			r.cut()
			return
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				r.cut()
				return
			}
		}
		if err != nil {
			r.cut()
			return
		}
	}
}

func (r *relay) cut()    { r.end.Do(func() { close(r.over) }) }
func (r *relay) freeze() { r.freezing.Do(func() { close(r.frozen) }) }

// socketPair is a TCP connection over loopback: its one end for us, its other for a process.
func socketPair() (net.Conn, *os.File, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer ln.Close()
	ours, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		return nil, nil, err
	}
	theirs, err := ln.Accept()
	if err != nil {
		_ = ours.Close()
		return nil, nil, err
	}
	defer theirs.Close()
	file, err := theirs.(*net.TCPConn).File()
	if err != nil {
		_ = ours.Close()
		return nil, nil, err
	}
	return ours, file, nil
}
