package awstest

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"
)

const (
	stsVersion   = "2011-06-15"
	stsNamespace = "https://sts.amazonaws.com/doc/" + stsVersion + "/"
)

var isSession = regexp.MustCompile(`^[A-Za-z0-9+=,.@_-]{2,64}$`)

// serveSTS carries out a request to STS.
func (s *Server) serveSTS(w http.ResponseWriter, c *call) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var answer any
	var err error
	switch {
	case c.form.Get("Version") != stsVersion:
		err = bad("InvalidAction", "Could not find version %s", c.form.Get("Version"))
	case c.action == "GetCallerIdentity":
		answer, err = c.identity()
	case c.action == "AssumeRole":
		answer, err = s.assumeRole(c)
	default:
		err = bad("InvalidAction", "Could not find operation %s", c.action)
	}
	if err != nil {
		return err
	}
	return answerXML(w, c.action+"Response", stsNamespace, answer)
}

func (c *call) identity() (any, error) {
	var answer struct {
		ARN     string `xml:"GetCallerIdentityResult>Arn"`
		User    string `xml:"GetCallerIdentityResult>UserId"`
		Account string `xml:"GetCallerIdentityResult>Account"`
	}
	answer.ARN, answer.User, answer.Account = c.caller.arn, c.scope.key, Account
	return answer, newQuery(c.form).done()
}

// assumeRole gives credentials for RoleARN.
func (s *Server) assumeRole(c *call) (any, error) {
	q := newQuery(c.form)
	role, session, external := q.need("RoleArn"), q.need("RoleSessionName"), q.text("ExternalId")
	seconds := q.number("DurationSeconds", 900, 43200)
	if err := q.done(); err != nil {
		return nil, err
	}
	if !isSession.MatchString(session) {
		return nil, bad("ValidationError", "1 validation error detected: Value '%s' at 'roleSessionName'", session)
	}
	if role != RoleARN || external != s.o.ExternalID {
		return nil, &apiError{
			status: 403, code: "AccessDenied",
			message: fmt.Sprintf("User: %s is not authorized to perform: sts:AssumeRole on resource: %s", c.caller.arn, role),
		}
	}
	if seconds == 0 {
		seconds = 3600
	}
	s.made++
	id := fmt.Sprintf("ASIAAWSTEST%d", s.made)
	k := credentials{
		secret: "secret-of-" + id, token: "token-of-" + id,
		arn: strings.Replace(strings.Replace(role, ":iam:", ":sts:", 1), ":role/", ":assumed-role/", 1) + "/" + session,
	}
	s.keys[id] = k
	var answer struct {
		Key     string `xml:"AssumeRoleResult>Credentials>AccessKeyId"`
		Secret  string `xml:"AssumeRoleResult>Credentials>SecretAccessKey"`
		Token   string `xml:"AssumeRoleResult>Credentials>SessionToken"`
		Expires string `xml:"AssumeRoleResult>Credentials>Expiration"`
		ARN     string `xml:"AssumeRoleResult>AssumedRoleUser>Arn"`
		Role    string `xml:"AssumeRoleResult>AssumedRoleUser>AssumedRoleId"`
	}
	answer.Key, answer.Secret, answer.Token = id, k.secret, k.token
	answer.Expires = s.o.Now().Add(time.Duration(seconds) * time.Second).UTC().Format(time.RFC3339)
	answer.ARN, answer.Role = k.arn, "AROAAWSTEST:"+session
	return answer, nil
}
