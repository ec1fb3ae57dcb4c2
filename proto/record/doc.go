// Package record is the messages that are written down to be read again by another life of a daemon: the recordings of
// a master's core.
package record
