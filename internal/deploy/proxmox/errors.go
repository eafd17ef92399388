package proxmox

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
)

// apiError is an answer of the API other than success.
type apiError struct {
	Request string // "GET /version"
	Status  int
	Message string
	Fields  map[string]string // parameter → what is wrong with it
}

func (e *apiError) Error() string {
	msg := fmt.Sprintf("%s: %d %s", e.Request, e.Status, e.Message)
	for _, k := range slices.Sorted(maps.Keys(e.Fields)) {
		msg += fmt.Sprintf("; %s: %s", k, strings.TrimSpace(e.Fields[k]))
	}
	return msg
}

// says tells whether one of the texts is in the answer.
func (e *apiError) says(texts ...string) bool {
	return slices.ContainsFunc(texts, func(t string) bool { return strings.Contains(e.Error(), t) })
}

// answered tells whether err is an answer of the API with that status, 0 for any, and one of the texts in it, if any.
func answered(err error, status int, texts ...string) bool {
	var e *apiError
	return errors.As(err, &e) && (status == 0 || e.Status == status) && (len(texts) == 0 || e.says(texts...))
}

// The answers below are those of the real daemons, 8.2 to 9.2. Most have status 500.

// noConfig is the answer about a VM that does not exist on that node.
func noConfig(err error) bool {
	return answered(err, http.StatusInternalServerError, "Configuration file 'nodes/") && answered(err, 0, "does not exist")
}

// noNode is the answer about a node that does not exist.
func noNode(err error) bool { return answered(err, 0, "hostname lookup '", "no such cluster node") }

// taken is the answer of a creation whose id a VM or container has.
func taken(err error) bool { return answered(err, 0, "already exists", "File exists") }

// stillCloned is how a deletion fails when there are linked clones.
func stillCloned(err error) bool {
	var t *taskError
	return errors.As(err, &t) && strings.Contains(t.Exit+strings.Join(t.Log, "\n"), "still in use by linked clone")
}

func unauthorized(err error) bool { return answered(err, http.StatusUnauthorized) }
func forbidden(err error) bool    { return answered(err, http.StatusForbidden) }

// transientStatus are answers for now: throttled, or a proxy that could not ask the daemon behind it or another node.
var transientStatus = []int{
	http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout, 595, 596, 599,
}

// transient tells whether another attempt may not meet the error. It does not tell whether the request was carried out.
func transient(err error) bool {
	var e *apiError
	if errors.As(err, &e) {
		return slices.Contains(transientStatus, e.Status) ||
			e.Status == http.StatusInternalServerError && e.says("got timeout", "got lock request timeout", "can't lock file")
	}
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var dns *net.DNSError
	switch {
	case errors.As(err, &certificate), errors.As(err, &record), errors.Is(err, errFingerprint):
		return false
	case errors.As(err, &dns):
		return !dns.IsNotFound
	}
	return errors.Is(err, deploy.ErrUnreachable)
}

// explain says which request an error is of and tells what kind it is: an *apiError, the end of the context, or one that
// wraps deploy.ErrUnreachable.
func explain(ctx context.Context, endpoint, request string, err error) error {
	var refused *apiError
	var syntax *json.SyntaxError
	var shape *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused):
		refused.Request = request
		return refused
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", request, context.Cause(ctx))
	case errors.As(err, &syntax), errors.As(err, &shape):
		return fmt.Errorf("%s: not an answer of Proxmox VE: is %s its address? %w", request, endpoint, err)
	}
	var inURL *url.Error
	if errors.As(err, &inURL) {
		err = inURL.Err
	}
	hint := ""
	var certificate *tls.CertificateVerificationError
	if errors.As(err, &certificate) {
		hint = ". Give ca_file, a copy of /etc/pve/pve-root-ca.pem, or the certificate's fingerprint"
	}
	return fmt.Errorf("%s %w: %s: %w%s", endpoint, deploy.ErrUnreachable, request, err, hint)
}
