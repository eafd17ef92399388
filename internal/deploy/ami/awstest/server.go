// Package awstest is a stand-in for the parts of AWS that make images: EBS direct, EC2's images, snapshots and imports,
// and STS. It keeps state per region and is stricter than lenient: what it does not know, such as a parameter, it
// refuses. The rules are those of the services' API models and user guides.
package awstest

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy/deploytest"
)

// The account that a Server knows, and its credentials.
const (
	Account   = "111122223333"
	AccessKey = "AKIDAWSTEST"
	SecretKey = "awstest-secret"
)

// RoleARN is the role that the account may assume.
const RoleARN = "arn:aws:iam::" + Account + ":role/pim"

// Options are what a test wants of a Server. The zero value is an ordinary account with quick, but not instant, answers.
type Options struct {
	// Regions maps a region to its opt-in status. Default: DefaultRegions.
	Regions map[string]string
	// S3 reads the objects of ImportSnapshot.
	S3 *s3.Client
	// NoImportRole: the account has no service role "vmimport".
	NoImportRole bool
	// EncryptByDefault: new snapshots are encrypted, see
	// https://docs.aws.amazon.com/ebs/latest/userguide/ebsapis-using-encryption.html.
	EncryptByDefault bool
	// OwnDefaultKey: what is encrypted without a key named gets KMSKey, and not the key that AWS manages, see
	// https://docs.aws.amazon.com/ebs/latest/userguide/ebs-encryption.html.
	OwnDefaultKey bool
	// BlockPublic: block public access for AMIs is on, as it is for new accounts.
	BlockPublic bool
	// DemandTag is a tag without which a policy of the account allows nothing to be made (aws:RequestTag), see
	// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/supported-iam-actions-tagging.html. "" for none.
	DemandTag string
	// ExternalID must be given to assume RoleARN.
	ExternalID string
	// Looks is how often something that is done in the background is described as pending first. Default 1; negative
	// for done at once.
	Looks int
	// Late is how many requests do not find a snapshot or image that was just made.
	Late int
	// Page is the most items in one page of a listing, whatever the client asks for. 0 for what it asks for.
	Page int
	// InFlight is how many requests to EBS direct are carried out at once; those above are throttled. 0 for any number.
	InFlight int
	// Pending is how many snapshots of a region may be in writing at once. 0 for 100.
	Pending int
	// Inject says what goes wrong with the n-th request of an action, counted from 1. It is called under a lock.
	Inject func(action string, n int) Fault
	// Now is the time of day. Default: time.Now.
	Now func() time.Time
}

// DefaultRegions are the regions and their opt-in status.
func DefaultRegions() map[string]string {
	return map[string]string{
		"eu-central-1": "opt-in-not-required", "us-east-1": "opt-in-not-required",
		"ap-southeast-1": "opt-in-not-required", "eu-south-1": "opted-in", "ap-east-1": "not-opted-in",
	}
}

// Server is the stand-in. All methods are safe for concurrent use.
type Server struct {
	URL string // endpoint of ec2, ebs and sts

	o       Options
	faults  deploytest.Faults
	data    *blockStore
	buffers sync.Pool     // of blocks on their way in
	ended   chan struct{} // closed with the test

	mu      sync.Mutex // guards all below
	regions map[string]*region
	keys    map[string]credentials // by access key id
	denied  map[string]bool
	stats   map[string]*Stats
	log     []string
	flying  int
	made    int // ids given out
}

// region is what exists in one region.
type region struct {
	name      string
	snapshots map[string]*snapshot
	images    map[string]*image
	gone      map[string]bool // deregistered images
	tasks     map[string]*task
	tokens    map[string]remembered // by action and client token
}

// remembered is an answer for who asks the same again.
type remembered struct {
	request string
	answer  any
}

// New starts a server that ends with the test.
func New(t testing.TB, o Options) *Server {
	t.Helper()
	if o.Regions == nil {
		o.Regions = DefaultRegions()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	switch {
	case o.Looks == 0:
		o.Looks = 1
	case o.Looks < 0:
		o.Looks = 0
	}
	if o.Pending == 0 {
		o.Pending = 100
	}
	if o.Inject == nil {
		o.Inject = func(string, int) Fault { return "" }
	}
	s := &Server{
		o: o, data: newBlockStore(t), ended: make(chan struct{}), regions: map[string]*region{},
		keys:   map[string]credentials{AccessKey: {secret: SecretKey, arn: "arn:aws:iam::" + Account + ":user/pim"}},
		denied: map[string]bool{}, stats: map[string]*Stats{},
	}
	for name := range o.Regions {
		s.regions[name] = &region{
			name: name, snapshots: map[string]*snapshot{}, images: map[string]*image{}, gone: map[string]bool{},
			tasks: map[string]*task{}, tokens: map[string]remembered{},
		}
	}
	server := httptest.NewServer(http.HandlerFunc(s.handle))
	t.Cleanup(func() {
		close(s.ended)
		server.CloseClientConnections()
		server.Close()
	})
	s.URL = server.URL
	return s
}

// Config is for a client of the server, in a region.
func (s *Server) Config(region string) aws.Config {
	return aws.Config{
		Region: region, BaseEndpoint: aws.String(s.URL),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: AccessKey, SecretAccessKey: SecretKey}, nil
		}),
	}
}

// Faults are in front of the server. A request is called "POST /REGION/ACTION" there.
func (s *Server) Faults() *deploytest.Faults { return &s.faults }

// Deny has the account lose the permission for some actions, such as "CopyImage", and have all others.
func (s *Server) Deny(actions ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.denied)
	for _, a := range actions {
		s.denied[a] = true
	}
}

// KMSKey is the ARN of a customer's key that exists in a region.
func KMSKey(region string) string { return keyARN(region, "1234abcd-12ab-34cd-56ef-1234567890ab") }

// defaultKey is the ARN of the key that a region encrypts with when none is named.
func (s *Server) defaultKey(region string) string {
	if s.o.OwnDefaultKey {
		return KMSKey(region)
	}
	return defaultKey(region)
}

// defaultKey is the ARN of a region's key for EBS that AWS manages.
func defaultKey(region string) string { return keyARN(region, "aaaaaaaa-0000-4000-8000-000000000000") }

func keyARN(region, id string) string {
	return fmt.Sprintf("arn:aws:kms:%s:%s:key/%s", region, Account, id)
}

// id makes the id of something new.
func (s *Server) id(prefix string) string {
	s.made++
	return fmt.Sprintf("%s-%017x", prefix, 0xabc000+s.made)
}
