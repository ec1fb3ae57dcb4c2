// Package containertest is what the tests of containerizers share: a watch that
// fails a test which leaves a process, cgroup, mount or file behind, and the
// behaviour that every containerizer owes its host.
//
// It may be imported by tests only.
package containertest
