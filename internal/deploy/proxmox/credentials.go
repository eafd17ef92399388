package proxmox

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
)

// credentials say how to get into a server.
type credentials struct {
	Endpoint    string
	APIToken    string
	Username    string
	Password    string
	CAFile      string
	Fingerprint string
	Insecure    bool
}

// String redacts.
func (c credentials) String() string { return "credentials for " + c.Endpoint }

// GoString redacts.
func (c credentials) GoString() string { return c.String() }

// credentials are those of the settings, read from the files that these name.
func (s *Settings) credentials() (credentials, error) {
	c := credentials{
		Endpoint: s.Endpoint, APIToken: s.APIToken, Username: s.Username, Password: s.Password,
		CAFile: s.CAFile, Fingerprint: s.Fingerprint, Insecure: s.Insecure,
	}
	if err := readSecret("api_token_file", s.APITokenFile, &c.APIToken); err != nil {
		return c, err
	}
	if err := readSecret("password_file", s.PasswordFile, &c.Password); err != nil {
		return c, err
	}
	c.Fingerprint = strings.ToLower(strings.ReplaceAll(c.Fingerprint, ":", ""))
	endpoint, ok := normalize(c.Endpoint)
	c.Endpoint = endpoint
	switch {
	case !ok:
		return c, &deploy.FieldError{Field: "endpoint", Err: fmt.Errorf("%q is not the address of a server, such as "+
			"\"https://pve1.example:8006\": set endpoint, the provider's proxmox attribute, or PROXMOX_VE_ENDPOINT", endpoint)}
	case c.APIToken != "" && !tokenFormat.MatchString(c.APIToken):
		return c, &deploy.FieldError{Field: "api_token", Err: errors.New("a token looks like " +
			"USER@REALM!TOKENID=00000000-0000-0000-0000-000000000000")}
	case c.APIToken == "" && (c.Username == "" || c.Password == ""):
		return c, &deploy.FieldError{Field: "api_token", Err: errors.New("there is neither an API token nor a username with " +
			"a password: set api_token_file, the provider's proxmox attribute, or PROXMOX_VE_API_TOKEN")}
	}
	return c, nil
}

// readSecret reads the secret that a file holds, if one is named.
func readSecret(field, path string, into *string) error {
	if path == "" {
		return nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return &deploy.FieldError{Field: field, Err: fmt.Errorf("cannot read the secret: %w", err)}
	}
	if *into = strings.TrimSpace(string(data)); *into == "" {
		return &deploy.FieldError{Field: field, Err: fmt.Errorf("%s is empty", path)}
	}
	return nil
}

// errFingerprint is a server with another certificate than the settings name.
var errFingerprint = errors.New("the server's certificate is another one")

// tlsConfig verifies the server: by a fingerprint of its certificate, by the CAs of a file, or by the system's.
func (c credentials) tlsConfig() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	switch {
	case c.Insecure:
		config.InsecureSkipVerify = true
	case c.Fingerprint != "":
		config.InsecureSkipVerify = true // the chain; VerifyConnection verifies more than that
		config.VerifyConnection = func(s tls.ConnectionState) error {
			sum := sha256.Sum256(s.PeerCertificates[0].Raw)
			if got := hex.EncodeToString(sum[:]); got != c.Fingerprint {
				return fmt.Errorf("%w: its fingerprint is %s, not %s. Set fingerprint if it was renewed", errFingerprint, got, c.Fingerprint)
			}
			return nil
		}
	case c.CAFile != "":
		data, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, &deploy.FieldError{Field: "ca_file", Err: err}
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(data) {
			return nil, &deploy.FieldError{Field: "ca_file", Err: fmt.Errorf("%s holds no certificate in PEM format", c.CAFile)}
		}
	}
	return config, nil
}
