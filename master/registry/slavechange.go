package registry

// A SlaveChange is a Change of one slave.
type SlaveChange interface {
	Change
	// Slave is the slave's id.
	Slave() string
}

// Slave implements SlaveChange.
func (c AdmitSlave) Slave() string { return c.Info.GetId().GetValue() }

// Slave implements SlaveChange.
func (c UpdateSlave) Slave() string { return c.Info.GetId().GetValue() }

// Slave implements SlaveChange.
func (c MarkReachable) Slave() string { return c.Info.GetId().GetValue() }

// Slave implements SlaveChange.
func (c MarkUnreachable) Slave() string { return c.ID }

// Slave implements SlaveChange.
func (c RemoveSlave) Slave() string { return c.ID }

// Slave implements SlaveChange.
func (c DeactivateSlave) Slave() string { return c.ID }

// Slave implements SlaveChange.
func (c ReactivateSlave) Slave() string { return c.ID }

// Slave implements SlaveChange.
func (c DrainSlave) Slave() string { return c.ID }

// Slave implements SlaveChange.
func (c MarkGone) Slave() string { return c.ID }
