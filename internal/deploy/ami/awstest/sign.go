package awstest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// credentials are what belongs to an access key id.
type credentials struct {
	secret, token string
	arn           string // who it is
}

// scope is what a request was signed for.
type scope struct {
	key, date, region, service string
	headers                    []string // signed ones, in lower case
}

// parseScope reads an Authorization header of Signature Version 4.
func parseScope(header string) (scope, error) {
	missing := &apiError{
		status: 403, code: "MissingAuthenticationToken", message: "Request is missing a valid Authorization header.",
	}
	rest, ok := strings.CutPrefix(header, "AWS4-HMAC-SHA256 ")
	if !ok {
		return scope{}, missing
	}
	fields := map[string]string{}
	for field := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		fields[name] = value
	}
	p := strings.Split(fields["Credential"], "/")
	if len(p) != 5 || p[4] != "aws4_request" || fields["Signature"] == "" || fields["SignedHeaders"] == "" {
		return scope{}, missing
	}
	return scope{
		key: p[0], date: p[1], region: p[2], service: p[3], headers: strings.Split(fields["SignedHeaders"], ";"),
	}, nil
}

// authenticate checks who asks, by the signature, and finds the region.
func (s *Server) authenticate(c *call) error {
	s.mu.Lock()
	caller, known := s.keys[c.scope.key]
	s.mu.Unlock()
	status := s.o.Regions[c.scope.region]
	switch {
	case c.scope.service != "ebs" && c.scope.service != "ec2" && c.scope.service != "sts":
		return &apiError{status: 403, code: "SignatureDoesNotMatch", message: "Credential should be scoped to a valid service."}
	case !known, caller.token != c.r.Header.Get("X-Amz-Security-Token"), status == "" || status == "not-opted-in":
		return c.unknownKey()
	}
	same, err := c.signedWith(caller)
	if err != nil {
		return err
	}
	if !same {
		return c.wrongSignature()
	}
	c.caller, c.region = caller, s.regions[c.scope.region]
	return nil
}

// unknownKey is what each service says about credentials that it does not know.
func (c *call) unknownKey() *apiError {
	const invalid = "The security token included in the request is invalid."
	switch c.scope.service {
	case "ebs":
		return &apiError{status: 403, code: "UnrecognizedClientException", message: invalid}
	case "sts":
		return &apiError{status: 403, code: "InvalidClientTokenId", message: invalid}
	}
	return &apiError{
		status: 401, code: "AuthFailure", message: "AWS was not able to validate the provided access credentials",
	}
}

// wrongSignature is what each service says about a signature that was not made with the key's secret.
func (c *call) wrongSignature() *apiError {
	const differs = "The request signature we calculated does not match the signature you provided."
	switch c.scope.service {
	case "ebs":
		return &apiError{status: 403, code: "InvalidSignatureException", message: differs}
	case "sts":
		return &apiError{status: 403, code: "SignatureDoesNotMatch", message: differs}
	}
	return c.unknownKey()
}

// signedWith tells if the request was signed with those credentials: it is signed again, and compared.
func (c *call) signedWith(k credentials) (bool, error) {
	when, err := time.Parse("20060102T150405Z", c.r.Header.Get("X-Amz-Date"))
	if err != nil || when.Format("20060102") != c.scope.date {
		return false, nil //nolint:nilerr // a request without its time is not signed
	}
	again := &http.Request{
		Method: c.r.Method, Host: c.r.Host, Header: http.Header{},
		URL: &url.URL{Scheme: "http", Host: c.r.Host, Path: c.r.URL.Path, RawPath: c.r.URL.RawPath, RawQuery: c.r.URL.RawQuery},
	}
	for name, values := range c.r.Header {
		lower := strings.ToLower(name)
		signed := slices.Contains(c.scope.headers, lower)
		if strings.HasPrefix(lower, "x-amz-") && !signed {
			return false, nil // a header that means something must be signed
		}
		if signed {
			again.Header[name] = values
		}
	}
	if slices.Contains(c.scope.headers, "content-length") {
		again.ContentLength = c.r.ContentLength
	}
	hash, err := c.payloadHash()
	if err != nil {
		return false, err
	}
	err = v4.NewSigner().SignHTTP(context.Background(), aws.Credentials{
		AccessKeyID: c.scope.key, SecretAccessKey: k.secret, SessionToken: k.token,
	}, again, hash, c.scope.service, c.scope.region, when)
	return err == nil && again.Header.Get("Authorization") == c.r.Header.Get("Authorization"), err
}

// payloadHash is the hash of the body that a signature is about. The data of a block is not signed, its checksum is.
func (c *call) payloadHash() (string, error) {
	if c.action == "PutSnapshotBlock" {
		return "UNSIGNED-PAYLOAD", nil
	}
	if c.scope.service == "ebs" {
		body, err := io.ReadAll(http.MaxBytesReader(nil, c.r.Body, maxForm))
		if err != nil {
			return "", &apiError{status: 413, code: "RequestEntityTooLarge", message: err.Error()}
		}
		c.payload = body
	}
	sum := sha256.Sum256(c.payload)
	return hex.EncodeToString(sum[:]), nil
}

// authorize checks if the caller may do that.
func (s *Server) authorize(c *call) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.denied[c.action] && (s.o.DemandTag == "" || c.carries(s.o.DemandTag)) {
		return nil
	}
	message := "User: " + c.caller.arn + " is not authorized to perform: " + c.scope.service + ":" + c.action
	switch c.scope.service {
	case "ebs":
		return &apiError{status: 403, code: "AccessDeniedException", message: message, reason: "UNAUTHORIZED_ACCOUNT"}
	case "sts":
		return &apiError{status: 403, code: "AccessDenied", message: message}
	}
	return &apiError{
		status: 403, code: "UnauthorizedOperation", message: "You are not authorized to perform this operation. " + message,
	}
}
