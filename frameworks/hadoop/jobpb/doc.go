// Package jobpb holds the messages of the Hadoop framework around its tasks: what it and its executors tell each other,
// what a client and a JobTracker say, and what a JobTracker keeps of its jobs.
package jobpb
