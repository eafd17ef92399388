package debtest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/ulikunitz/xz"
	"golang.org/x/sync/errgroup"
)

const (
	// probes is how many files the mirror is asked for at a time.
	probes = 8
	// maxIndex bounds what an index or release file may be, in bytes (the real ones are a few MB unpacked).
	maxIndex = 64 << 20
	// headerTimeout bounds the wait for a mirror's answer to begin; a body may take as long as ctx allows.
	headerTimeout = 2 * time.Minute
)

// newHTTP is a client for mirrors: proxy, if not nil, is the machine's own for plain http; otherwise the
// environment's rule holds. Bodies come as the server sends them, never unpacked on the way.
func newHTTP(proxy *url.URL) *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableCompression = true
	transport.ResponseHeaderTimeout = headerTimeout
	transport.MaxIdleConnsPerHost = probes
	if proxy != nil {
		transport.Proxy = func(r *http.Request) (*url.URL, error) {
			if r.URL.Scheme == "http" {
				return proxy, nil
			}
			return http.ProxyFromEnvironment(r)
		}
	}
	return &http.Client{Transport: transport}
}

// fetch reads a small file; any status but 200 is an error.
func fetch(ctx context.Context, client *http.Client, u *url.URL) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("fetch %s: %w", u.Path, err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("fetch %s: %w", u.Path, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetch %s: the mirror answered %s", u.Path, resp.Status)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxIndex))
	if err != nil {
		return nil, fmt.Errorf("fetch %s: %w", u.Path, err)
	}
	return data, nil
}

// parseIndex unpacks and reads a udeb index.
func parseIndex(packed []byte) ([]stanza, error) {
	r, err := xz.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("unpack the udeb index: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(r, maxIndex))
	if err != nil {
		return nil, fmt.Errorf("unpack the udeb index: %w", err)
	}
	return parseStanzas(string(text)), nil
}

// packXZ is content as an .xz file.
func packXZ(content []byte) ([]byte, error) {
	var out bytes.Buffer
	// The installer unpacks with a small xz that need not know every checksum; all know CRC32.
	w, err := xz.WriterConfig{CheckSum: xz.CRC32}.NewWriter(&out)
	if err != nil {
		return nil, fmt.Errorf("pack the udeb index: %w", err)
	}
	if _, err := w.Write(content); err != nil {
		return nil, fmt.Errorf("pack the udeb index: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("pack the udeb index: %w", err)
	}
	return out.Bytes(), nil
}

// probe asks the mirror for every entry's file that matters to this installer; the answers are by position.
// What an installer never asks for, or has already, counts as present without a question.
func (b *builder) probe(ctx context.Context, what installer, stanzas []stanza) ([]bool, error) {
	present := make([]bool, len(stanzas))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(probes)
	for n, s := range stanzas {
		if name := s.get("Package"); what.installed[name] || !what.relevant(name) {
			present[n] = true
			continue
		}
		group.Go(func() (err error) {
			present[n], err = b.exists(ctx, s.get("Filename"))
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("check the mirror's installer components: %w", err)
	}
	return present, nil
}

// exists asks the mirror for a file's header. Only 404 and 410 mean no; any other failure is an error.
func (b *builder) exists(ctx context.Context, name string) (bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, b.mirrors.Main.JoinPath(name).String(), nil)
	if err != nil {
		return false, fmt.Errorf("look for %s: %w", name, err)
	}
	resp, err := b.http.Do(req)
	if err != nil {
		return false, fmt.Errorf("look for %s: %w", name, err)
	}
	resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
		return true, nil
	case http.StatusNotFound, http.StatusGone:
		return false, nil
	default:
		return false, fmt.Errorf("look for %s: the mirror answered %s", name, resp.Status)
	}
}
