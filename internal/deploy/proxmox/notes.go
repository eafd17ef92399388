package proxmox

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
)

// marker is what a template says of itself, in a comment at the end of its notes. A clone inherits the notes, but gets
// a uuid of its own: only where uuid and id are the VM's own is the marker about that VM.
type marker struct {
	Name       string    `json:"name"` // of the deployment
	Key        string    `json:"key"`  // of the image
	Profile    string    `json:"profile,omitempty"`
	UUID       string    `json:"uuid"`
	VMID       int64     `json:"vmid"`
	DeployedAt time.Time `json:"deployed_at"`
	Unfinished bool      `json:"unfinished,omitempty"`
}

// A JSON string never holds "-->", because encoding/json escapes the angle bracket.
var markerPattern = regexp.MustCompile(`(?s)<!-- pim:(\{.*?\}) -->`)

// notes are Markdown, as the web interface shows it.
func (m marker) notes() string {
	data, _ := json.Marshal(m) // strings, numbers and a time: it cannot fail
	var b strings.Builder
	fmt.Fprintf(&b, "**%s** is a golden image, managed by pim. Changes made here are undone by the next apply.\n\n", m.Name)
	if m.Profile != "" {
		fmt.Fprintf(&b, "- profile: %s\n", m.Profile)
	}
	fmt.Fprintf(&b, "- image key: `%s`\n- deployed: %s\n\n<!-- pim:%s -->", m.Key, m.DeployedAt.Format(time.RFC3339), data)
	return b.String()
}

// markerOf is the marker of a VM, if it has one that is about it.
func markerOf(vmid int64, config object) (m marker, ok bool) {
	found := markerPattern.FindStringSubmatch(config["description"])
	if found == nil || json.Unmarshal([]byte(found[1]), &m) != nil {
		return marker{}, false
	}
	return m, m.VMID == vmid && m.UUID != "" && strings.EqualFold(m.UUID, uuidOf(config))
}

// result is the generation that a marker describes.
func (m marker) result(node string) *deploy.Result {
	return &deploy.Result{
		ID: resultID(node, m.VMID), Name: m.Name, ImageKey: m.Key, DeployedAt: m.DeployedAt.UTC(),
		Node: node, VMID: m.VMID, UUID: m.UUID,
	}
}

// resultID is NODE/VMID.
func resultID(node string, vmid int64) string { return node + "/" + strconv.FormatInt(vmid, 10) }

// vmName is a deployment's name as a DNS name, which Proxmox VE wants of a VM.
func vmName(name string) string {
	name = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '.':
			return r
		}
		return '-'
	}, name)
	var labels []string
	for l := range strings.SplitSeq(name, ".") {
		if l = strings.Trim(l[:min(len(l), maxLabel)], "-"); l != "" {
			labels = append(labels, l)
		}
	}
	return cmp.Or(strings.Join(labels, "."), tagOurs)
}

// retiredName is the name of a template that had to stay.
func retiredName(name, key string) string {
	suffix := "-retired-" + key[:min(len(key), 12)]
	name = vmName(name)
	return strings.TrimRight(name[:min(len(name), maxLabel-len(suffix))], "-.") + suffix
}

// maxLabel is the length of a DNS label, RFC 1035.
const maxLabel = 63
