// Package proto is where the messages live that the parts of Stoa exchange: mesos, the vocabulary
// that schedulers, executors and operators speak; wire, what master, slave and host say to each
// other; record, what is written to disk. Package resource is the arithmetic of resources, package
// codec writes and reads messages as JSON and as records in a stream.
//
// The Go code of every .proto file in the tree lies next to it and is committed.
package proto

//go:generate sh -c "cd .. && go tool -modfile=tools/go.mod buf generate"
