// Package mesos is the vocabulary that Stoa shares with every Mesos v1 client: tasks, offers,
// resources, frameworks and all that they are made of. The .proto files say what goes over the
// wire, one subject per file; testdata/wire.txt says it once more as a table, and a test holds the
// two against each other. The calls and events of each interface are in the packages next to this
// one: schedulerpb, executorpb, masterpb, agentpb, maintenancepb, quotapb, allocatorpb.
//
// What is written by hand here are pure functions on these messages that several parts of Stoa
// need in the same way:
//
//   - Validate…: is the message one that Mesos would accept, as far as the message alone can tell?
//     An error names the value that was seen and what is allowed; it is meant for the user who sent
//     it. Whether the message fits the cluster (is the offer known, are the resources free) is for
//     the cores to decide.
//   - New…ID: an id from a string, because proto2 wants a pointer to each.
//   - IsTerminal, RolesOf, HasCapability, RefuseDuration: rules that are about one message.
//
// On the wire a machine that runs tasks is an agent, as Mesos v1 spells it; everywhere else in
// Stoa it is a slave.
package mesos
