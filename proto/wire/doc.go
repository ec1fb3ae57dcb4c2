// Package wire holds what master, slave and host say to each other, and nothing else. Schedulers, executors and
// operators speak Mesos's own calls and events (packages schedulerpb, executorpb and masterpb); these messages carry
// them no further than a session:
//
//	slave → master   RegisterSlave, ReregisterSlave, UnregisterSlave, TaskUpdate, ExecutorExited, FrameworkMessage
//	master → slave   SlaveRegistered, SlaveReregistered, RunTask, KillTask, ShutdownExecutor, RemoveFramework,
//	                 AcknowledgeUpdate, FrameworkMessage
//	both             Mark, Marked: what was said before has been heard, so that more may follow
//	host → slave     RegisterHost, ExecutorStarted, ExecutorEnded
//	slave → host     HostRegistered, LaunchExecutor, KillExecutor
//	inside a host    StartContainer, SignalContainer, KillContainer; ContainerStarted, ContainerExited
//	operator         OperatorKillTask, OperatorDone; ListPeers, Peers
//	anyone           Refused: the typed answer to what may not be
//
// TaskInfo, ExecutorInfo and FrameworkInfo travel in them unchanged, unknown fields included.
package wire
