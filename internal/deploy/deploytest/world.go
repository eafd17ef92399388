package deploytest

import (
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
)

// World is a target and the backend behind it, fresh for each test.
type World interface {
	// Target is a target with the world's usual settings, some of them changed.
	Target(t *testing.T, change map[string]any) deploy.Target
	// Faults are between the target and its backend.
	Faults() *Faults
	// Inventory lists whatever a deployment can have made at the backend, finished or not, a line each, in any order.
	Inventory(t *testing.T) []string
	// Of lists those lines of Inventory that are a complete generation's.
	Of(t *testing.T, r deploy.Result) []string
	// Remove deletes a generation behind the target's back.
	Remove(t *testing.T, r deploy.Result)
	// Tamper changes a generation behind the target's back, in a way that Update mends.
	Tamper(t *testing.T, r deploy.Result)
	// Disk is the path of a raw file with what a guest of the generation sees as its disk.
	Disk(t *testing.T, r deploy.Result) string
}

// Pace is a pace for tests: it waits for nothing that does not need it. Idle is long enough for a machine that is busy.
func Pace() deploy.Pace {
	return deploy.Pace{
		Poll: 5 * time.Millisecond, Backoff: time.Millisecond, MaxBackoff: 10 * time.Millisecond, Attempts: 6,
		Idle: 2 * time.Second, Abandoned: time.Hour,
	}
}
