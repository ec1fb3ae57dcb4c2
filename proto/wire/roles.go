package wire

import (
	"sort"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// Roles of the nodes that send messages to each other, as a node's handshake proves them.
const (
	RoleMaster    = "master"
	RoleSlave     = "slave"
	RoleHost      = "host"
	RoleExecutor  = "executor"
	RoleFramework = "framework"
	RoleOperator  = "operator"
)

// senders says for every message which roles may send it to another node. A framework can't send RunTask.
var senders = map[protoreflect.FullName][]string{
	"mesos.v1.scheduler.Call":  {RoleFramework},
	"mesos.v1.scheduler.Event": {RoleMaster},
	"mesos.v1.executor.Call":   {RoleExecutor, RoleHost}, // the built-in executors are actors of the host
	"mesos.v1.executor.Event":  {RoleSlave},
	"mesos.v1.master.Call":     {RoleOperator, RoleFramework}, // a scheduler may ask why it waits
	"mesos.v1.master.Response": {RoleMaster},

	"stoa.wire.v1.RegisterSlave":        {RoleSlave},
	"stoa.wire.v1.ReregisterSlave":      {RoleSlave},
	"stoa.wire.v1.UnregisterSlave":      {RoleSlave},
	"stoa.wire.v1.TaskUpdate":           {RoleSlave},
	"stoa.wire.v1.ExecutorExited":       {RoleSlave},
	"stoa.wire.v1.SlaveRegistered":      {RoleMaster},
	"stoa.wire.v1.SlaveReregistered":    {RoleMaster},
	"stoa.wire.v1.RunTask":              {RoleMaster},
	"stoa.wire.v1.KillTask":             {RoleMaster},
	"stoa.wire.v1.ShutdownExecutor":     {RoleMaster},
	"stoa.wire.v1.RemoveFramework":      {RoleMaster},
	"stoa.wire.v1.AcknowledgeUpdate":    {RoleMaster},
	"stoa.wire.v1.ApplyOperation":       {RoleMaster},
	"stoa.wire.v1.OperationUpdate":      {RoleSlave},
	"stoa.wire.v1.AcknowledgeOperation": {RoleMaster},
	"stoa.wire.v1.FrameworkMessage":     {RoleMaster, RoleSlave},
	"stoa.wire.v1.Mark":                 {RoleMaster, RoleSlave},
	"stoa.wire.v1.Marked":               {RoleMaster, RoleSlave},
	"stoa.wire.v1.OperatorKillTask":     {RoleOperator},
	"stoa.wire.v1.Explain":              {RoleOperator, RoleFramework}, // as masterpb.Call
	"stoa.wire.v1.Explanation":          {RoleMaster},
	"stoa.wire.v1.OperatorDone":         {RoleMaster},
	"stoa.wire.v1.ListPeers":            {RoleOperator},
	"stoa.wire.v1.Peers":                {RoleMaster, RoleSlave},
	"stoa.wire.v1.Refused":              {RoleMaster, RoleSlave, RoleHost},

	"stoa.wire.v1.ReadFile":  {RoleSlave, RoleMaster}, // the master's sessions pass both on
	"stoa.wire.v1.FileChunk": {RoleFramework, RoleMaster},

	"stoa.wire.v1.ExecTask":            {RoleOperator},
	"stoa.wire.v1.StartExec":           {RoleSlave},
	"stoa.wire.v1.ExecStarted":         {RoleHost, RoleSlave},
	"stoa.wire.v1.ExecInput":           {RoleOperator, RoleSlave},
	"stoa.wire.v1.ExecOutput":          {RoleHost, RoleSlave},
	"stoa.wire.v1.ExecTaken":           {RoleOperator, RoleHost, RoleSlave},
	"stoa.wire.v1.ExecResize":          {RoleOperator, RoleSlave},
	"stoa.wire.v1.ExecSignal":          {RoleOperator, RoleSlave},
	"stoa.wire.v1.ExecEnded":           {RoleHost, RoleSlave},
	"stoa.wire.v1.GetStatistics":       {RoleOperator, RoleSlave},
	"stoa.wire.v1.ContainerStatistics": {RoleHost, RoleSlave},
	"stoa.wire.v1.GetDiskUsage":        {RoleOperator},
	"stoa.wire.v1.DiskUsage":           {RoleSlave},

	"stoa.wire.v1.RegisterHost":    {RoleHost},
	"stoa.wire.v1.ExecutorStarted": {RoleHost},
	"stoa.wire.v1.ExecutorEnded":   {RoleHost},
	"stoa.wire.v1.HostRegistered":  {RoleSlave},
	"stoa.wire.v1.LaunchExecutor":  {RoleSlave},
	"stoa.wire.v1.ResizeExecutor":  {RoleSlave},
	"stoa.wire.v1.KillExecutor":    {RoleSlave},

	// Bodies of Mesos's HTTP API, and parts of them: between nodes they are nothing.
	"mesos.v1.scheduler.Response":            nil,
	"mesos.v1.scheduler.APIResult":           nil,
	"mesos.v1.scheduler.OfferConstraints":    nil,
	"mesos.v1.scheduler.AttributeConstraint": nil,
	"mesos.v1.master.Event":                  nil,
	"mesos.v1.agent.Call":                    nil,
	"mesos.v1.agent.Response":                nil,
	"mesos.v1.agent.ProcessIO":               nil,

	// Inside a host only: no node may send these to another.
	"stoa.wire.v1.StartContainer":   nil,
	"stoa.wire.v1.ContainerStarted": nil,
	"stoa.wire.v1.ContainerExited":  nil,
	"stoa.wire.v1.SignalContainer":  nil,
	"stoa.wire.v1.KillContainer":    nil,
	"stoa.wire.v1.ContainerExit":    nil, // a part of other messages and the exit record on disk
	"stoa.wire.v1.SlaveExecutor":    nil, // a part of ReregisterSlave
	"stoa.wire.v1.SlaveOperation":   nil, // the same
	"stoa.wire.v1.Peer":             nil, // a part of Peers
	"stoa.wire.v1.Machine":          nil, // a part of ContainerStatistics
}

// May tells whether a node of a role may send a message to another node. A message that has no row may be sent by
// nobody.
func May(role string, message protoreflect.FullName) bool {
	for _, sender := range senders[message] {
		if sender == role {
			return true
		}
	}
	return false
}

// Messages lists every message that has a row in the table of senders, sorted.
func Messages() []protoreflect.FullName {
	names := make([]protoreflect.FullName, 0, len(senders))
	for name := range senders {
		names = append(names, name)
	}
	sort.Slice(names, func(i, j int) bool { return names[i] < names[j] })
	return names
}
