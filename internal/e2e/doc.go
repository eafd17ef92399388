// Package e2e tests the provider as a person uses it: a real CLI, the real Debian installer, real boots. The tests
// have the build tag e2e and take most of an hour where nothing accelerates them; `make e2e` runs them.
package e2e
