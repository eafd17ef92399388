package awstest

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"
)

const (
	ec2Version   = "2016-11-15"
	ec2Namespace = "http://ec2.amazonaws.com/doc/" + ec2Version + "/"
)

// ec2Call is a request to EC2. The server is locked while it is carried out.
type ec2Call struct {
	*query
	s     *Server
	g     *region
	later bool // what goes on in the background will fail
}

// ec2Actions are what the server can do. An answer is encoded as XML.
func ec2Actions() map[string]func(*ec2Call) (any, error) {
	return map[string]func(*ec2Call) (any, error){
		"RegisterImage":                  (*ec2Call).registerImage,
		"DescribeImages":                 (*ec2Call).describeImages,
		"DeregisterImage":                (*ec2Call).deregisterImage,
		"CopyImage":                      (*ec2Call).copyImage,
		"EnableImageDeprecation":         (*ec2Call).enableDeprecation,
		"DisableImageDeprecation":        (*ec2Call).disableDeprecation,
		"ModifyImageAttribute":           (*ec2Call).modifyImage,
		"DescribeImageAttribute":         (*ec2Call).describeImageAttribute,
		"ResetImageAttribute":            (*ec2Call).resetImage,
		"DescribeSnapshots":              (*ec2Call).describeSnapshots,
		"DeleteSnapshot":                 (*ec2Call).deleteSnapshot,
		"ModifySnapshotAttribute":        (*ec2Call).modifySnapshot,
		"DescribeSnapshotAttribute":      (*ec2Call).describeSnapshotAttribute,
		"CreateTags":                     (*ec2Call).createTags,
		"DeleteTags":                     (*ec2Call).deleteTags,
		"ImportSnapshot":                 (*ec2Call).importSnapshot,
		"DescribeImportSnapshotTasks":    (*ec2Call).describeImports,
		"CancelImportTask":               (*ec2Call).cancelImport,
		"DescribeRegions":                (*ec2Call).describeRegions,
		"GetEbsEncryptionByDefault":      (*ec2Call).getEncryptionByDefault,
		"GetEbsDefaultKmsKeyId":          (*ec2Call).getDefaultKey,
		"GetImageBlockPublicAccessState": (*ec2Call).getBlockPublic,
	}
}

// serveEC2 carries out a request to EC2. Later has it fail in the background.
func (s *Server) serveEC2(w http.ResponseWriter, c *call, later bool) error {
	action := ec2Actions()[c.action]
	if action == nil || c.form.Get("Version") != ec2Version {
		return bad("InvalidAction", "The action %s is not valid for this web service.", c.action)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reap(c.region)
	answer, err := action(&ec2Call{query: newQuery(c.form), s: s, g: c.region, later: later})
	if err != nil {
		return err
	}
	return answerXML(w, c.action+"Response", ec2Namespace, answer)
}

// yes is the answer of actions that have no other.
type yes struct {
	Return bool `xml:"return"`
}

// answerXML answers with the fields of an answer in an element of that name.
func answerXML(w http.ResponseWriter, name, namespace string, answer any) error {
	var out bytes.Buffer
	start := xml.StartElement{
		Name: xml.Name{Local: name}, Attr: []xml.Attr{{Name: xml.Name{Local: "xmlns"}, Value: namespace}},
	}
	if err := xml.NewEncoder(&out).EncodeElement(answer, start); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/xml;charset=UTF-8")
	_, err := fmt.Fprint(w, xml.Header, out.String())
	return err
}

// failXML answers with an error in the way of EC2 (in a Response) or STS (in an ErrorResponse).
func failXML(w http.ResponseWriter, name string, e *apiError) {
	type one struct{ Code, Message string }
	type list struct {
		Errors    []one `xml:"Errors>Error,omitempty"`
		Error     *one
		RequestID string
	}
	body := list{RequestID: "00000000-0000-4000-8000-000000000000"}
	if name == "Response" {
		body.Errors = []one{{e.code, e.message}}
	} else {
		body.Error = &one{e.code, e.message}
	}
	text, _ := xml.Marshal(struct {
		XMLName xml.Name
		list
	}{xml.Name{Local: name}, body})
	w.Header().Set("Content-Type", "text/xml;charset=UTF-8")
	w.WriteHeader(e.status)
	_, _ = fmt.Fprintf(w, "%s%s", xml.Header, text)
}

// stamp is a time as EC2 writes it.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// once answers what was asked before with the same client token, and remembers the answer otherwise.
func (c *ec2Call) once(token string, do func() (any, error)) (any, error) {
	if token == "" {
		return do()
	}
	key := c.form.Get("Action") + " " + token
	if old, ok := c.g.tokens[key]; ok {
		if old.request != c.fingerprint() {
			return nil, bad("IdempotentParameterMismatch",
				"The client token was used before, with other parameters.")
		}
		return old.answer, nil
	}
	answer, err := do()
	if err == nil {
		c.g.tokens[key] = remembered{c.fingerprint(), answer}
	}
	return answer, err
}

func (c *ec2Call) describeRegions() (any, error) {
	all := c.on("AllRegions")
	wanted := c.list("RegionName")
	filters := c.filters("region-name", "opt-in-status", "endpoint")
	if err := c.done(); err != nil {
		return nil, err
	}
	type item struct {
		Name     string `xml:"regionName"`
		Endpoint string `xml:"regionEndpoint"`
		OptIn    string `xml:"optInStatus"`
	}
	var answer struct {
		Items []item `xml:"regionInfo>item"`
	}
	for _, name := range wanted {
		if _, ok := c.s.o.Regions[name]; !ok {
			return nil, bad("InvalidParameterValue", "Invalid region: '%s'", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.s.o.Regions)) {
		i := item{name, "ec2." + name + ".amazonaws.com", c.s.o.Regions[name]}
		match := filters.match(map[string][]string{
			"region-name": {name}, "opt-in-status": {i.OptIn}, "endpoint": {i.Endpoint},
		}, nil)
		named := slices.Contains(wanted, name)
		if match && (named || len(wanted) == 0 && (all || i.OptIn != "not-opted-in")) {
			answer.Items = append(answer.Items, i)
		}
	}
	return answer, nil
}

func (c *ec2Call) getEncryptionByDefault() (any, error) {
	return struct {
		On bool `xml:"ebsEncryptionByDefault"`
	}{c.s.o.EncryptByDefault}, c.done()
}

// getDefaultKey answers with a key's ARN, and with an alias for that which AWS manages.
func (c *ec2Call) getDefaultKey() (any, error) {
	key := "alias/aws/ebs"
	if c.s.o.OwnDefaultKey {
		key = KMSKey(c.g.name)
	}
	return struct {
		Key string `xml:"kmsKeyId"`
	}{key}, c.done()
}

func (c *ec2Call) getBlockPublic() (any, error) {
	state := "unblocked"
	if c.s.o.BlockPublic {
		state = "block-new-sharing"
	}
	return struct {
		State   string `xml:"imageBlockPublicAccessState"`
		Managed string `xml:"managedBy"`
	}{state, "account"}, c.done()
}
