package core

import (
	"encoding/binary"
	"fmt"
)

// nextUUID returns 16 bytes that no other life of any slave makes: the incarnation and a counter. So an
// acknowledgement that was meant for an earlier life never matches an update of this one.
func (c *Core) nextUUID() []byte {
	c.counter++
	uuid := binary.BigEndian.AppendUint64(make([]byte, 0, 16), c.config.Incarnation)
	return binary.BigEndian.AppendUint64(uuid, c.counter)
}

// nextContainerID returns a container id in Mesos's format, that of a uuid.
func (c *Core) nextContainerID() string {
	u := c.nextUUID()
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

// nextHostID returns the id of a host of this life.
func (c *Core) nextHostID() string {
	c.counter++
	return fmt.Sprintf("%016x-H%d", c.config.Incarnation, c.counter)
}
