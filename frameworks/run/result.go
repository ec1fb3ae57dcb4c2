package run

import "time"

// Exit codes of a run that are not the command's own.
const (
	ExitTimeout       = 124 // not placed in time, or ended by Options.Timeout
	ExitFailed        = 125 // Stoa failed: no master, lost, refused
	ExitNotExecutable = 126
	ExitNotFound      = 127
	ExitInterrupted   = 130
	exitSignal        = 128 // plus the number of the signal
)

// Reasons say in a word how an instance, or the run, ended.
const (
	ReasonFinished      = "finished"       // exit status 0
	ReasonExited        = "exited"         // another exit status
	ReasonSignaled      = "signaled"       // ended by a signal
	ReasonMemory        = "memory_limit"   // ended by its memory limit
	ReasonPIDs          = "pids_limit"     // failed, having reached its limit of processes
	ReasonDisk          = "disk_limit"     // its sandbox outgrew its limit
	ReasonFetchFailed   = "fetch_failed"   // a file that it needs could not be fetched
	ReasonKilled        = "killed"         // by somebody else, as with `stoa task kill`
	ReasonTimeout       = "timeout"        // ended by Options.Timeout
	ReasonNotPlaced     = "not_placed"     // no offer in time
	ReasonNotFound      = "not_found"      // no such command
	ReasonNotExecutable = "not_executable" // not a command
	ReasonLaunchFailed  = "launch_failed"  // the container could not be made
	ReasonInvalid       = "invalid"        // the master does not accept the task
	ReasonLost          = "lost"           // with its slave or host
	ReasonOutputLost    = "output_lost"    // its output could not be read or written to the end
	ReasonInterrupted   = "interrupted"    // by the caller
	ReasonNoMaster      = "no_master"
	ReasonMasterLost    = "master_lost"
	ReasonRefused       = "refused" // by the master
	ReasonBadOptions    = "bad_options"
	ReasonFailed        = "failed" // anything else
)

// Result is how a run ended.
type Result struct {
	// ExitCode is the highest of the instances, unless the whole run was interrupted, not placed, or failed.
	ExitCode int `json:"exit_code"`
	// Reason is one of the Reason constants: that of the instance that gave the exit code, or of the whole run.
	Reason      string     `json:"reason"`
	Message     string     `json:"message,omitempty"`
	FrameworkID string     `json:"framework_id,omitempty"`
	Instances   []Instance `json:"instances"`
	// Slaves says why instances could not be placed.
	Slaves []SlaveReason `json:"slaves,omitempty"`
}

// Instance is how one instance ended.
type Instance struct {
	Instance int    `json:"instance"`
	TaskID   string `json:"task_id,omitempty"`
	SlaveID  string `json:"agent_id,omitempty"`
	Hostname string `json:"hostname,omitempty"`
	// State is the last one that was heard of, as in "TASK_FINISHED"; "" if it was never placed.
	State    string `json:"state,omitempty"`
	ExitCode int    `json:"exit_code"`
	Reason   string `json:"reason"`
	Message  string `json:"message,omitempty"`
	// ExitStatus or Signal is how the command itself ended, if it did.
	ExitStatus *int `json:"exit_status,omitempty"`
	Signal     *int `json:"signal,omitempty"`
	// Started and Finished are the slave's times; nil if it never ran, or nobody knows.
	Started  *time.Time `json:"started,omitempty"`
	Finished *time.Time `json:"finished,omitempty"`
	// Labels are those of its last status: what it used, its limits, who killed it (proto/mesos/labels.go).
	Labels map[string]string `json:"labels,omitempty"`
}

// SlaveReason says why a slave did not take an instance.
type SlaveReason struct {
	SlaveID  string `json:"agent_id"`
	Hostname string `json:"hostname"`
	Reason   string `json:"reason"`
}

// failed is the result of a run that came to nothing.
func failed(reason string, err error) Result {
	return Result{ExitCode: ExitFailed, Reason: reason, Message: err.Error(), Instances: []Instance{}}
}
