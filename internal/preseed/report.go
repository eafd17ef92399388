package preseed

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
)

// Report is an event of Ubuntu's installer, as its webhook posts it.
//
// Source: curtin's reporter/events.py, which subiquity reports by, and subiquity/server/controllers/reporting.py
type Report struct {
	Name        string `json:"name"`        // "subiquity/Install/install/curtin_install"
	Description string `json:"description"` // for a person, may be empty
	Type        string `json:"event_type"`  // "start", "finish", "info", "warning", "error"
	Level       string `json:"level"`       // "DEBUG", "INFO", "WARN", "WARNING", "ERROR"
	Result      string `json:"result"`      // of a finish: "SUCCESS", "WARN", "FAIL"
}

// maxReport bounds what of a report's texts is kept, in bytes.
const maxReport = 1000

// ParseReport reads a posted report. Its texts are one line each and not endless.
func ParseReport(body []byte) (Report, error) {
	var r Report
	if err := json.Unmarshal(body, &r); err != nil {
		return Report{}, fmt.Errorf("not a report of the installer: %w", err)
	}
	for _, s := range []*string{&r.Name, &r.Description, &r.Type, &r.Level, &r.Result} {
		*s = line(*s)
	}
	return r, nil
}

// Failed reports whether it tells that something failed.
func (r Report) Failed() bool { return r.Result == "FAIL" || r.Type == "error" || r.Swallowed() }

// Swallowed reports whether it tells of a failure after which the installer goes on as if nothing had happened: of updates
// that could not be installed only the description of a finish does, whose result is "SUCCESS".
//
// Source: run_unattended_upgrades in subiquity/server/controllers/install.py
func (r Report) Swallowed() bool {
	return r.Type == "finish" && strings.HasPrefix(r.Description, "FAILED ")
}

// Notable reports whether a person wants to see it: the beginning of what is no detail, and whatever went wrong.
func (r Report) Notable() bool {
	return r.Failed() || r.Type == "warning" || r.Result == "WARN" || r.Type == "start" && r.Level != "DEBUG" && r.Description != ""
}

func (r Report) String() string {
	s := r.Type
	if r.Result != "" && r.Result != "SUCCESS" {
		s = r.Result
	}
	if s == "start" || s == "finish" && r.Swallowed() {
		s = ""
	}
	return strings.TrimSpace(s + " " + r.Name + " " + r.Description)
}

func line(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
	if len(s) > maxReport {
		s = strings.ToValidUTF8(s[:maxReport-3], "") + "…"
	}
	return s
}
