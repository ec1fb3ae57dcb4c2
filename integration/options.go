package integration

import (
	"fmt"

	"github.com/stoa-project/stoa/master"
	"github.com/stoa-project/stoa/proto/resource"
	"github.com/stoa-project/stoa/slave"
	"github.com/stoa-project/stoa/slave/containerizer"
	"github.com/stoa-project/stoa/slave/containerizer/fake"
)

// MaxSlaves bounds the slaves of a cluster in one process: each is some fifty goroutines.
const MaxSlaves = 1000

// Option says what a cluster of New is like. Its error says which value is wrong and what is allowed.
type Option func(*config) error

type config struct {
	slaves     []slaveSettings // one for each slave
	resources  string          // of the slaves of Slaves
	attributes string
	commands   func(containerizer.Spec) fake.Behaviour // of scripted commands
	processes  bool
	binary     string
	tcp        bool
	onMaster   func(*master.Config)
	onSlave    func(number int, c *slave.Config)
}

// slaveSettings are what a slave offers.
type slaveSettings struct{ resources, attributes string }

func defaultConfig() config {
	return config{
		slaves: []slaveSettings{{}}, resources: DefaultResources,
		onMaster: func(*master.Config) {}, onSlave: func(int, *slave.Config) {},
	}
}

// Masters is how many masters there are: one, as long as they can not stand in for each other.
func Masters(n int) Option {
	return func(*config) error {
		if n != 1 {
			return fmt.Errorf("Masters(%d): allowed is 1", n)
		}
		return nil
	}
}

// Slaves is how many slaves there are that offer Resources; the default is 1.
func Slaves(n int) Option {
	return func(c *config) error {
		if n < 0 || n > MaxSlaves {
			return fmt.Errorf("Slaves(%d): allowed are 0 to %d", n, MaxSlaves)
		}
		c.slaves = make([]slaveSettings, n)
		return nil
	}
}

// AnotherSlave adds a slave of its own kind to those of Slaves, which must come before it.
func AnotherSlave(resources, attributes string) Option {
	return func(c *config) error {
		if err := checkSlave(resources, attributes); err != nil {
			return fmt.Errorf("AnotherSlave: %w", err)
		}
		c.slaves = append(c.slaves, slaveSettings{resources, attributes})
		return nil
	}
}

// Resources are what each slave of Slaves offers, as in "cpus:4;mem:1024"; the default is DefaultResources.
func Resources(text string) Option {
	return func(c *config) error {
		c.resources = text
		if err := checkSlave(text, ""); err != nil {
			return fmt.Errorf("Resources: %w", err)
		}
		return nil
	}
}

// Attributes are by what schedulers can choose the slaves of Slaves, as in "rack:a;zone:eu"; the default is none.
func Attributes(text string) Option {
	return func(c *config) error {
		c.attributes = text
		if err := checkSlave("", text); err != nil {
			return fmt.Errorf("Attributes: %w", err)
		}
		return nil
	}
}

func checkSlave(resources, attributes string) error {
	if _, err := resource.Parse(resources); err != nil {
		return err
	}
	_, err := slave.ParseAttributes(attributes)
	return err
}

// Commands scripts what the commands of tasks do; the default is that they succeed at once.
func Commands(answer func(containerizer.Spec) fake.Behaviour) Option {
	return func(c *config) error {
		c.commands = answer
		return nil
	}
}

// Processes has commands run, as plain processes of this machine. They need real time. binary is the stoa program that
// they can call; "" is the running one.
func Processes(binary string) Option {
	return func(c *config) error {
		c.processes, c.binary = true, binary
		return nil
	}
}

// TCP has the cluster listen on the loopback address instead of in memory. It needs real time; Partition does not work.
func TCP() Option {
	return func(c *config) error {
		c.tcp = true
		return nil
	}
}

// MasterConfig changes the master's configuration before each of its lives.
func MasterConfig(change func(*master.Config)) Option {
	return func(c *config) error {
		c.onMaster = change
		return nil
	}
}

// SlaveConfig changes the configuration of each slave, which are numbered from 1, before each of their lives.
func SlaveConfig(change func(number int, c *slave.Config)) Option {
	return func(c *config) error {
		c.onSlave = change
		return nil
	}
}
