// Package taskpb holds the messages between the Hadoop framework and its map and reduce tasks: the order that a task
// reads as its standard input and the summary that it leaves in its sandbox.
package taskpb
