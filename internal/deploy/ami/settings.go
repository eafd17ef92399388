// Package ami deploys images to AWS as AMIs: the blocks of the qcow2 that hold data go straight into a snapshot by the
// EBS direct APIs (or the raw disk goes by way of S3), the snapshot is registered, copied to more regions and shared.
package ami

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
)

// The ways a disk gets into a snapshot.
const (
	EBSDirect = "ebs_direct"
	S3Import  = "s3_import"
)

// Previous is, as the parent snapshot, that of the generation that will be replaced.
const Previous = "previous"

// Settings are those of a target of type "aws".
type Settings struct {
	Region            string            `yaml:"region"` // the home region, where the snapshot is made
	Method            string            `yaml:"method"` // EBSDirect or S3Import
	S3Bucket          string            `yaml:"s3_bucket"`
	S3Prefix          string            `yaml:"s3_prefix"`
	Regions           []string          `yaml:"regions"`    // more regions, to copy the AMI to
	ShareWith         []string          `yaml:"share_with"` // account ids that may use the AMIs and their snapshots
	LaunchPermissions LaunchPermissions `yaml:"launch_permissions"`
	DeprecateAfter    string            `yaml:"deprecate_after"` // from the AMI's creation, "90d" or a Go duration
	Encrypted         bool              `yaml:"encrypted"`
	KMSKeyID          string            `yaml:"kms_key_id"`
	KMSKeyIDs         map[string]string `yaml:"kms_key_ids"`     // region → key of the copy there
	ParentSnapshot    string            `yaml:"parent_snapshot"` // "snap-…" or Previous
	BootMode          string            `yaml:"boot_mode"`       // "" to go by the image
	Tags              map[string]string `yaml:"tags"`
	Profile           string            `yaml:"profile"` // of the shared configuration files
	AssumeRole        AssumeRole        `yaml:"assume_role"`
	Endpoints         Endpoints         `yaml:"endpoints"`
	Concurrency       int               `yaml:"concurrency"` // requests under way at most
}

// LaunchPermissions say who may launch the AMIs, beside the accounts of share_with.
type LaunchPermissions struct {
	Groups                 []string `yaml:"groups"                   json:"groups,omitempty"` // "all" makes them public
	OrganizationARNs       []string `yaml:"organization_arns"        json:"organization_arns,omitempty"`
	OrganizationalUnitARNs []string `yaml:"organizational_unit_arns" json:"organizational_unit_arns,omitempty"`
}

// AssumeRole is a role to assume with the credentials found.
type AssumeRole struct {
	RoleARN     string `yaml:"role_arn"     json:"role_arn,omitempty"`
	SessionName string `yaml:"session_name" json:"session_name,omitempty"`
	ExternalID  string `yaml:"external_id"  json:"external_id,omitempty"`
}

// Endpoints are URLs to use instead of AWS's own, for compatible clouds. One for EC2 serves all regions.
type Endpoints struct {
	EC2 string `yaml:"ec2" json:"ec2,omitempty"`
	EBS string `yaml:"ebs" json:"ebs,omitempty"`
	S3  string `yaml:"s3"  json:"s3,omitempty"`
	STS string `yaml:"sts" json:"sts,omitempty"`
}

const (
	defaultConcurrency = 64 // AWS's page measures the EBS direct APIs' full throughput at about 100 connections
	maxConcurrency     = 512
	// maxTags is what AWS allows, less those of our own.
	maxTags = 50 - 9
	// maxDeprecation is what EnableImageDeprecation allows.
	maxDeprecation       = 10 * 365 * 24 * time.Hour
	maxPublicDeprecation = 2 * 365 * 24 * time.Hour
)

var (
	regionName  = regexp.MustCompile(`^[a-z]{2,}(-[a-z0-9]+)+-?\d*$`)
	accountID   = regexp.MustCompile(`^\d{12}$`)
	bucketName  = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	snapshotID  = regexp.MustCompile(`^snap-[0-9a-f]{8,}$`)
	arnOrg      = regexp.MustCompile(`^arn:[^:]+:organizations::\d{12}:organization/o-`)
	arnOrgUnit  = regexp.MustCompile(`^arn:[^:]+:organizations::\d{12}:ou/o-`)
	arnRole     = regexp.MustCompile(`^arn:[^:]+:iam::\d{12}:role/`)
	daysPattern = regexp.MustCompile(`^(\d{1,5})d$`)
)

func (s *Settings) defaults() {
	if s.Method == "" {
		s.Method = EBSDirect
	}
	if s.Concurrency == 0 {
		s.Concurrency = defaultConcurrency
	}
	if s.AssumeRole.RoleARN != "" && s.AssumeRole.SessionName == "" {
		s.AssumeRole.SessionName = "terraform-provider-pim"
	}
}

// Complete fills the defaults in and checks the values. It does no I/O.
func (s *Settings) Complete() []deploy.Problem {
	s.defaults()
	var c checker
	// A compatible cloud may call its regions as it likes.
	c.want(regionName.MatchString(s.Region) || s.Region != "" && s.Endpoints.EC2 != "", "region", "No AWS region",
		"region is %q. Give the region that the snapshot is made in, such as \"eu-central-1\". It is not taken from the "+
			"environment, because the deployment would then be another one for everybody who applies it.", s.Region)
	s.checkMethod(&c)
	s.checkEncryption(&c)
	s.checkSharing(&c)
	s.checkTags(&c)
	for _, r := range s.Regions {
		c.want(regionName.MatchString(r), "regions", "Not a region", "%q is not the name of an AWS region.", r)
	}
	modes := types.BootModeValues("").Values()
	c.want(s.BootMode == "" || slices.Contains(modes, types.BootModeValues(s.BootMode)), "boot_mode", "Unknown boot mode",
		"boot_mode is %q; known are %v. Without it the image decides.", s.BootMode, modes)
	if s.DeprecateAfter != "" {
		d, err := deprecation(s.DeprecateAfter)
		c.want(err == nil, "deprecate_after", "Not a duration", "%v", err)
		c.want(d <= maxPublicDeprecation || !s.public(), "deprecate_after", "Too late",
			"A public AMI is deprecated two years after it was made at the latest.")
	}
	s.checkAccess(&c)
	return c.problems
}

func (s *Settings) checkMethod(c *checker) {
	c.want(s.Method == EBSDirect || s.Method == S3Import, "method", "Unknown method",
		"method is %q; known are %q and %q.", s.Method, EBSDirect, S3Import)
	if s.Method == S3Import {
		c.want(bucketName.MatchString(s.S3Bucket), "s3_bucket", "No bucket",
			"method %q needs the name of a bucket in the same region; s3_bucket is %q.", S3Import, s.S3Bucket)
		c.want(s.ParentSnapshot == "", "parent_snapshot", "No parent with S3",
			"Only method %q can send just what changed. Remove parent_snapshot or change the method.", EBSDirect)
	}
	c.want(!strings.HasPrefix(s.S3Prefix, "/"), "s3_prefix", "Not a prefix", "A key in S3 does not begin with a slash.")
	c.want(s.ParentSnapshot == "" || s.ParentSnapshot == Previous || snapshotID.MatchString(s.ParentSnapshot),
		"parent_snapshot", "Not a snapshot", "parent_snapshot is %q; give a snapshot's id or %q.", s.ParentSnapshot, Previous)
	c.want(s.Concurrency >= 1 && s.Concurrency <= maxConcurrency, "concurrency", "Out of range",
		"concurrency is %d; it can be 1 to %d.", s.Concurrency, maxConcurrency)
}

func (s *Settings) checkEncryption(c *checker) {
	c.want(!s.Encrypted || s.ParentSnapshot == "", "encrypted", "Encryption comes from the parent",
		"AWS refuses encryption together with a parent: a snapshot is encrypted like its parent. Remove encrypted and "+
			"kms_key_id, or parent_snapshot.")
	c.want(s.KMSKeyID == "" || s.Encrypted, "kms_key_id", "A key without encryption",
		"kms_key_id is only for encrypted snapshots: set encrypted = true.")
	c.want(s.KMSKeyID == "" || s.Method != EBSDirect || strings.HasPrefix(s.KMSKeyID, "arn:"), "kms_key_id", "Not an ARN",
		"The EBS direct APIs take a key by its ARN only; kms_key_id is %q.", s.KMSKeyID)
	for r := range s.KMSKeyIDs {
		c.want(slices.Contains(s.Regions, r), "kms_key_ids", "A key for no copy",
			"There is no copy in %s: add the region to regions, or remove its key.", r)
	}
	if !s.Encrypted || !s.shared() {
		return
	}
	c.want(s.KMSKeyID != "", "kms_key_id", "The default key cannot be shared",
		"AWS does not let others use what is encrypted with the account's default key. Give a key of your own, and let "+
			"those accounts use it by its key policy.")
	for _, r := range s.copies() {
		c.want(s.KMSKeyIDs[r] != "", "kms_key_ids", "The default key cannot be shared",
			"The copy in %s is shared, so it needs a key of your own.", r)
	}
	c.want(!s.public(), "launch_permissions", "Encrypted AMIs cannot be public",
		"Remove the group \"all\", or encrypted.")
}

func (s *Settings) checkSharing(c *checker) {
	for _, id := range s.ShareWith {
		c.want(accountID.MatchString(id), "share_with", "Not an account", "%q is not an account id of 12 digits.", id)
	}
	for _, g := range s.LaunchPermissions.Groups {
		c.want(g == "all", "launch_permissions", "Unknown group", "%q is not a group; the only one is \"all\".", g)
	}
	for _, arn := range s.LaunchPermissions.OrganizationARNs {
		c.want(arnOrg.MatchString(arn), "launch_permissions", "Not an organization", "%q is not an organization's ARN.", arn)
	}
	for _, arn := range s.LaunchPermissions.OrganizationalUnitARNs {
		c.want(arnOrgUnit.MatchString(arn), "launch_permissions", "Not an organizational unit",
			"%q is not the ARN of an organizational unit.", arn)
	}
}

func (s *Settings) checkTags(c *checker) {
	c.want(len(s.Tags) <= maxTags, "tags", "Too many tags", "There are %d; AWS and pim leave room for %d.", len(s.Tags), maxTags)
	for k, v := range s.Tags {
		reserved := strings.HasPrefix(strings.ToLower(k), "aws:") || strings.HasPrefix(k, tagPrefix)
		c.want(!reserved, "tags", "Reserved tag", "%q: names that begin with aws: or %s are not for you to set.", k, tagPrefix)
		c.want(k != "" && utf8.RuneCountInString(k) <= maxTagName && utf8.RuneCountInString(v) <= maxTagValue,
			"tags", "Tag too long", "%q: a name has 1 to %d characters, a value up to %d.", k, maxTagName, maxTagValue)
	}
}

func (s *Settings) checkAccess(c *checker) {
	a := s.AssumeRole
	c.want(a.RoleARN == "" || arnRole.MatchString(a.RoleARN), "assume_role", "Not a role", "%q is not a role's ARN.", a.RoleARN)
	c.want(a.RoleARN != "" || a == AssumeRole{}, "assume_role", "No role", "assume_role needs a role_arn.")
	for _, e := range []string{s.Endpoints.EC2, s.Endpoints.EBS, s.Endpoints.S3, s.Endpoints.STS} {
		u, err := url.Parse(e)
		c.want(e == "" || err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "", "endpoints", "Not a URL",
			"%q is not a URL such as \"https://ec2.cloud.example\".", e)
	}
}

// checker collects problems.
type checker struct{ problems []deploy.Problem }

func (c *checker) want(ok bool, field, summary, detail string, args ...any) {
	if !ok {
		c.problems = append(c.problems, deploy.Problem{Field: field, Summary: summary, Detail: fmt.Sprintf(detail, args...)})
	}
}

func (p LaunchPermissions) empty() bool {
	return len(p.Groups)+len(p.OrganizationARNs)+len(p.OrganizationalUnitARNs) == 0
}

// shared tells if others may use what is made.
func (s *Settings) shared() bool { return len(s.ShareWith) > 0 || !s.LaunchPermissions.empty() }

// public tells if everybody may.
func (s *Settings) public() bool { return slices.Contains(s.LaunchPermissions.Groups, "all") }

// copies are the regions beside the home region, sorted, each once.
func (s *Settings) copies() []string {
	rs := slices.DeleteFunc(slices.Clone(s.Regions), func(r string) bool { return r == s.Region })
	slices.Sort(rs)
	return slices.Compact(rs)
}

// deprecation reads "90d" or a Go duration.
func deprecation(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if m := daysPattern.FindStringSubmatch(text); m != nil {
		days, _ := strconv.Atoi(m[1])
		d, err = time.Duration(days)*24*time.Hour, nil
	}
	switch {
	case err != nil:
		return 0, fmt.Errorf("%q is neither a number of days such as \"90d\" nor a duration such as \"2160h\"", text)
	case d < time.Hour || d > maxDeprecation:
		return 0, fmt.Errorf("%q is not between an hour and ten years", text)
	}
	return d, nil
}

// Effect is what a change of a field takes. A method, parent or bucket is how a disk gets to AWS, which is done.
func Effect(field string) deploy.Effect {
	switch field {
	case "region":
		return deploy.Move
	case "encrypted", "kms_key_id", "kms_key_ids", "boot_mode":
		return deploy.Recreate
	case "regions", "share_with", "launch_permissions", "deprecate_after", "tags":
		return deploy.InPlace
	}
	return deploy.Nothing
}
