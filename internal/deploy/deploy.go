// Package deploy is what all targets of a deployment have in common: what they are given, what they answer, and the
// life of a deployment with its generations. The targets are in the packages below it.
package deploy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// Image is the image to deploy. While it is only planned, Path is "" and the sizes are 0.
type Image struct {
	Host         host.Host // the machine that has the file
	Path         string    // of a standalone qcow2 on Host
	Name         string    // of the image, such as "debian-dev"
	Profile      string    // "" for an image that no profile made
	Key          string    // cache key, 64 hex digits; the file's SHA-256 for an image that pim did not make
	Arch         host.Arch
	Firmware     string // "bios", "uefi" or "uefi-secure", "" when nobody knows
	TPM          bool   // it is for machines with a TPM
	SHA256       string // of the file, 64 hex digits
	SizeBytes    int64  // of the file
	VirtualBytes int64  // of the disk as a guest sees it
	BuiltAt      time.Time
}

// Request is what to deploy, and as what.
type Request struct {
	Name  string // of the deployment: what a template or bundle is called, what an AMI's name begins with
	Image Image
	// Current is the generation that the new one will replace, nil for none. Deploy leaves it alone, unless both
	// would be at one place: then the new one takes the old one's place atomically.
	Current *Result
	// Progress, when not nil, is told about each step and how far it is. It is called from any goroutine.
	Progress func(step string, done, total int64)
}

// Report tells Progress, if there is one.
func (r Request) Report(step string, done, total int64) {
	if r.Progress != nil {
		r.Progress(step, done, total)
	}
}

// Result is one generation of a deployment: an object at the target, and all it takes to find it again. A Deploy that
// failed half-way may give one that is not complete, for Delete.
type Result struct {
	ID         string    `json:"id"` // the target's own name for it: "ami-…", "pve1/9000", a path
	Name       string    `json:"name"`
	ImageKey   string    `json:"image_key"`
	DeployedAt time.Time `json:"deployed_at"`

	Node string `json:"node,omitempty"` // Proxmox
	VMID int64  `json:"vmid,omitempty"`
	UUID string `json:"uuid,omitempty"` // SMBIOS uuid, by which a template is told from another with the same id

	AMIs      map[string]string `json:"amis,omitempty"` // AWS: region → id
	Snapshots map[string]string `json:"snapshots,omitempty"`

	Path   string `json:"path,omitempty"` // file, UTM
	SHA256 string `json:"sha256,omitempty"`

	// Broken is set on what a failed Deploy or Delete could not remove.
	Broken bool `json:"broken,omitempty"`
}

// Target is a place images are deployed to, with the settings and credentials to do it. All methods are safe for
// concurrent use. Each request of theirs has a time-out of its own; transient errors are tried again.
type Target interface {
	// Check looks for what would make Deploy fail, without changing anything: credentials, permissions, places, room.
	// It is called at plan, when the image may not exist yet. A target that cannot be reached is an error that wraps
	// ErrUnreachable; any other error means that the check itself failed.
	Check(ctx context.Context, r Request) ([]Problem, error)
	// Find looks for a complete generation of that name and image that pim made, for adoption. Errors: ErrNotFound.
	Find(ctx context.Context, r Request) (*Result, error)
	// Deploy makes a new generation. When it fails it removes what it made; a Result together with an error is what
	// could not be removed. It is published at the end and whole: nothing partial has the final name.
	Deploy(ctx context.Context, r Request) (*Result, error)
	// Update makes an existing generation of the same image fit the settings as they are now: those whose Effect is
	// InPlace, and what was changed by hand. A Result together with an error is how far it came. One that is
	// somebody else's by now may stay as it is, which is no drift either; then the error wraps ErrUntouched.
	Update(ctx context.Context, r Request, have Result) (*Result, error)
	// Read looks at a generation as it is now. Drift says, a line each, what is not as the settings want it, such as
	// "memory is 4096, not 2048". Errors: ErrNotFound when it is gone; a Deploy's broken rest may be not found.
	Read(ctx context.Context, have Result) (now *Result, drift []string, err error)
	// Delete removes a generation; one that is gone, wholly or in part, is no error. One that others depend on stays,
	// is marked as retired, and the error wraps ErrInUse. Never is anything removed that is not have.
	Delete(ctx context.Context, have Result) error
}

// Asider is a target whose generations have one place. Aside puts a copy of the generation at that place (which
// Request.Name and the settings give) elsewhere, so that it survives the next Deploy. It answers nil when the next
// generation has another place.
type Asider interface {
	Aside(ctx context.Context, r Request, have Result) (*Result, error)
}

// Problem is something a person has to mend.
type Problem struct {
	Field   string // of the settings, "" for none in particular
	Summary string // a few words, as "Storage cannot hold VM disks"
	Detail  string // what is the case, and what to do next
	Warning bool   // it may still work
}

func (p Problem) String() string { return p.Summary + ": " + p.Detail }

// FieldError is an error about one field of the settings.
type FieldError struct {
	Field string
	Err   error
}

func (e *FieldError) Error() string { return fmt.Sprintf("%s: %v", e.Field, e.Err) }
func (e *FieldError) Unwrap() error { return e.Err }

var (
	// ErrNotFound is wrapped when what was asked for does not exist.
	ErrNotFound = errors.New("not found")
	// ErrInUse is wrapped when something cannot be deleted because others depend on it.
	ErrInUse = errors.New("in use")
	// ErrUntouched is wrapped when something is not updated because somebody uses it.
	ErrUntouched = errors.New("left as it is")
	// ErrUnreachable is wrapped when the target did not answer.
	ErrUnreachable = errors.New("cannot be reached")
	// ErrExists is wrapped when something that is not ours has the place a deployment should get.
	ErrExists = errors.New("already exists")
)

// Effect is what it takes to put a changed setting into effect.
type Effect int

// The effects of a changed setting.
const (
	InPlace  Effect = iota // Update does it
	Recreate               // a new generation, then the old one goes
	Move                   // another place altogether: the old deployment is destroyed, a new one made
	Nothing                // it only says how to reach or check the target
)

// Pace is how patient a target is. Tests are less so.
type Pace struct {
	Poll       time.Duration // between two looks at something that goes on at the target
	Backoff    time.Duration // before the first retry; then it doubles, with jitter
	MaxBackoff time.Duration
	Attempts   int           // of one request in all
	Idle       time.Duration // a request that makes no progress for so long has failed
	Abandoned  time.Duration // an unfinished object of ours that is older than that belongs to nobody
}

// DefaultPace is the pace outside of tests.
func DefaultPace() Pace {
	return Pace{
		Poll: 2 * time.Second, Backoff: 500 * time.Millisecond, MaxBackoff: 20 * time.Second, Attempts: 6,
		Idle: time.Minute, Abandoned: 12 * time.Hour,
	}
}

// OrDefault is the pace, or DefaultPace in the place of none.
func (p Pace) OrDefault() Pace {
	if p == (Pace{}) {
		return DefaultPace()
	}
	return p
}

// cleanupTime bounds what is still done for a deployment that was cancelled.
const cleanupTime = 3 * time.Minute

// Cleanup is the context to clean up under: it survives the end of ctx and has its own deadline.
func Cleanup(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
}

// grace is how long what was begun may go on once its context has ended.
const grace = time.Minute

// Lasting is the context for a request that makes or removes something: it is not torn off when ctx ends, or nobody would
// know what it did, but goes on for at most a minute more.
func Lasting(ctx context.Context) (context.Context, context.CancelFunc) {
	out, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })
	return out, func() {
		stop()
		cancel()
	}
}
