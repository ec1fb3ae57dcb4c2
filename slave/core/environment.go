package core

import (
	"strconv"
	"time"
)

// environment is what an executor finds in its environment, beneath what its command asks for. The names and forms
// are Mesos's, as executors in other languages parse them.
func (c *Core) environment(ex *executor) map[string]string {
	env := map[string]string{
		"MESOS_FRAMEWORK_ID":                   ex.framework.id,
		"MESOS_EXECUTOR_ID":                    ex.id,
		"MESOS_DIRECTORY":                      ex.directory,
		"MESOS_SANDBOX":                        ex.directory,
		"MESOS_SLAVE_ID":                       c.slaveID,
		"MESOS_SLAVE_PID":                      "slave(1)@" + c.config.endpoint(),
		"MESOS_AGENT_ENDPOINT":                 c.config.near(),
		"MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD": stoutDuration(c.grace(ex)),
		"MESOS_HTTP_COMMAND_EXECUTOR":          "0",
		"LIBPROCESS_IP":                        c.config.IP,
		"LIBPROCESS_PORT":                      "0",
	}
	// Some executors take MESOS_CHECKPOINT=0 for true, so that "no" must be its absence.
	if ex.framework.info.GetCheckpoint() {
		env["MESOS_CHECKPOINT"] = "1"
		env["MESOS_RECOVERY_TIMEOUT"] = stoutDuration(c.config.RecoveryTimeout)
		env["MESOS_SUBSCRIPTION_BACKOFF_MAX"] = stoutDuration(SubscriptionBackoffMost)
	}
	return env
}

// stoutDuration writes a duration as Mesos's C++ library does: "5secs", "15mins", "1days". The unit is the largest
// that divides it.
func stoutDuration(d time.Duration) string {
	units := []struct {
		name string
		unit time.Duration
	}{
		{"weeks", 7 * 24 * time.Hour},
		{"days", 24 * time.Hour},
		{"hrs", time.Hour},
		{"mins", time.Minute},
		{"secs", time.Second},
		{"ms", time.Millisecond},
		{"us", time.Microsecond},
	}
	for _, u := range units {
		if d != 0 && d%u.unit == 0 {
			return strconv.FormatInt(int64(d/u.unit), 10) + u.name
		}
	}
	if d == 0 {
		return "0ns"
	}
	return strconv.FormatInt(int64(d), 10) + "ns"
}
