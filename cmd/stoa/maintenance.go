package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/master/api/client"
	"github.com/stoa-project/stoa/proto/codec"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/allocatorpb"
	"github.com/stoa-project/stoa/proto/mesos/maintenancepb"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
)

func newMaintenance(std stdio) *cobra.Command {
	command := group("maintenance", "Machines that are taken out of service for a while", groupLook,
		newMaintenanceSchedule(std), newMaintenanceStatus(std), newMaintenanceStart(std), newMaintenanceStop(std))
	command.Long = `Machines that are taken out of service for a while.

A machine is scheduled first: offers of it say when it will be away, and frameworks that use it are asked to
leave. It is taken down by 'start': its slave ends, its tasks are gone, and it cannot come back before 'stop'.`
	return command
}

// scheduled is a machine of the schedule as --json shows it.
type scheduled struct {
	Hostname string   `json:"hostname,omitempty"`
	IP       string   `json:"ip,omitempty"`
	Mode     string   `json:"mode"` // DRAINING or DOWN
	Start    string   `json:"start"`
	Seconds  *float64 `json:"duration_seconds,omitempty"` // without it there is no end
	Answers  []answer `json:"answers"`
}

// answer is what a framework says that is asked to leave a machine.
type answer struct {
	FrameworkID string `json:"framework_id"`
	Answer      string `json:"answer"`       // ACCEPT, DECLINE or UNKNOWN
	At          string `json:"at,omitempty"` // of the latest answer
}

func (m scheduled) name() string {
	switch {
	case m.IP == "":
		return m.Hostname
	case m.Hostname == "":
		return m.IP
	}
	return m.Hostname + "/" + m.IP
}

func (m scheduled) length() string {
	if m.Seconds == nil {
		return "-"
	}
	return time.Duration(*m.Seconds * float64(time.Second)).String()
}

// said is what frameworks answered, in a few words.
func (m scheduled) said() string {
	var parts []string
	for _, status := range []allocatorpb.InverseOfferStatus_Status{
		allocatorpb.InverseOfferStatus_ACCEPT, allocatorpb.InverseOfferStatus_DECLINE, allocatorpb.InverseOfferStatus_UNKNOWN,
	} {
		count := 0
		for _, a := range m.Answers {
			if a.Answer == status.String() {
				count++
			}
		}
		words := map[allocatorpb.InverseOfferStatus_Status]string{
			allocatorpb.InverseOfferStatus_ACCEPT: "will leave", allocatorpb.InverseOfferStatus_DECLINE: "will not", allocatorpb.InverseOfferStatus_UNKNOWN: "not answered",
		}
		if count > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", count, words[status]))
		}
	}
	return orDash(strings.Join(parts, ", "))
}

func newScheduled(id *mesos.MachineID, u *mesos.Unavailability) scheduled {
	view := scheduled{Hostname: id.GetHostname(), IP: id.GetIp(), Mode: mesos.MachineInfo_DRAINING.String(), Start: instant(u.GetStart()), Answers: []answer{}}
	if u.Duration != nil {
		seconds := time.Duration(u.GetDuration().GetNanoseconds()).Seconds()
		view.Seconds = &seconds
	}
	return view
}

func instant(t *mesos.TimeInfo) string {
	return time.Unix(0, t.GetNanoseconds()).UTC().Format(time.RFC3339)
}

// scheduledMachines puts the schedule and the status together.
func scheduledMachines(schedule *maintenancepb.Schedule, status *maintenancepb.ClusterStatus) []scheduled {
	var views []scheduled
	for _, w := range schedule.GetWindows() {
		for _, id := range w.GetMachineIds() {
			view := newScheduled(id, w.GetUnavailability())
			same := func(other *mesos.MachineID) bool { return proto.Equal(id, other) }
			if slices.ContainsFunc(status.GetDownMachines(), same) {
				view.Mode = mesos.MachineInfo_DOWN.String()
			}
			for _, draining := range status.GetDrainingMachines() {
				if same(draining.GetId()) {
					view.Answers = append(view.Answers, newAnswers(draining.GetStatuses())...)
				}
			}
			views = append(views, view)
		}
	}
	return views
}

func newAnswers(statuses []*allocatorpb.InverseOfferStatus) []answer {
	var list []answer
	for _, status := range statuses {
		a := answer{FrameworkID: status.GetFrameworkId().GetValue(), Answer: status.GetStatus().String()}
		if status.GetTimestamp().GetNanoseconds() != 0 {
			a.At = instant(status.GetTimestamp())
		}
		list = append(list, a)
	}
	return list
}

func newMaintenanceStatus(std stdio) *cobra.Command {
	var flags operatorFlags
	command := &cobra.Command{
		Use:   "status",
		Short: "List the machines that will be away or are, and what frameworks answered",
		Example: `  stoa maintenance status
  stoa maintenance status --json`,
		Args: noArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			answers, err := flags.ask(command.Context(), masterpb.Call_GET_MAINTENANCE_SCHEDULE, masterpb.Call_GET_MAINTENANCE_STATUS)
			if err != nil {
				return err
			}
			machines := scheduledMachines(answers[0].GetGetMaintenanceSchedule().GetSchedule(), answers[1].GetGetMaintenanceStatus().GetStatus())
			if flags.json {
				return printJSON(std.out, machines)
			}
			var rows [][]string
			for _, m := range machines {
				rows = append(rows, []string{m.name(), strings.ToLower(m.Mode), m.Start, m.length(), m.said()})
			}
			return table(std.out, []string{"MACHINE", "STATE", "FROM", "FOR", "FRAMEWORKS"}, rows)
		},
	}
	flags.add(command.Flags())
	return withSettings(command)
}

func newMaintenanceSchedule(std stdio) *cobra.Command {
	var flags operatorFlags
	var start, file string
	var length time.Duration
	var cancel bool
	command := &cobra.Command{
		Use:   "schedule [MACHINE...]",
		Short: "Say when machines will be away",
		Long: `Says when machines will be away, in the place of what was said of them before. Without machines and --file
it shows the schedule. MACHINE is a hostname, an address, or both as HOSTNAME/ADDRESS.`,
		Example: `  stoa maintenance schedule node17 node18 --start 2026-12-01T22:00:00Z --for 2h
  stoa maintenance schedule 10.0.0.17 --start 30m
  stoa maintenance schedule node17 --cancel
  stoa maintenance schedule --file schedule.json   # the whole schedule, in Mesos's form`,
		RunE: func(command *cobra.Command, args []string) error {
			if len(args) == 0 && file == "" {
				if start != "" || cancel || length != 0 {
					return usageError("maintenance schedule: name the machines that --start, --for and --cancel are about")
				}
				return flags.showSchedule(command.Context(), std)
			}
			if length < 0 {
				return usageError("--for %v: it must not be below 0s", length)
			}
			change, err := scheduleChange(args, start, length, cancel, file)
			if err != nil {
				return err
			}
			return flags.reschedule(command.Context(), std, change)
		},
	}
	flags.add(command.Flags())
	command.Flags().StringVar(&start, "start", "", "`TIME` from which they are away, as 2026-12-01T22:00:00Z, or in how long, as 30m")
	command.Flags().DurationVar(&length, "for", 0, "how long they will be away; 0s: without an end")
	command.Flags().BoolVar(&cancel, "cancel", false, "they will not be away")
	command.Flags().StringVar(&file, "file", "", "`FILE` with the whole schedule in JSON, in Mesos's form")
	return withSettings(command)
}

// scheduleEdit makes another schedule of one, or says why it cannot.
type scheduleEdit func(*maintenancepb.Schedule) (*maintenancepb.Schedule, error)

// scheduleChange says what becomes of a schedule.
func scheduleChange(args []string, start string, length time.Duration, cancel bool, file string) (scheduleEdit, error) {
	if file != "" {
		if len(args) > 0 || start != "" || cancel {
			return nil, usageError("maintenance schedule: --file has the whole schedule, nothing else can be given with it")
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, usageError("--file: %w", err)
		}
		whole := &maintenancepb.Schedule{}
		if err := codec.Unmarshal(text, whole); err != nil {
			return nil, usageError("--file %s: %w", file, err)
		}
		return func(*maintenancepb.Schedule) (*maintenancepb.Schedule, error) { return whole, nil }, nil
	}
	if cancel == (start != "") {
		return nil, usageError("maintenance schedule: give --start, or --cancel")
	}
	machines, err := parseMachines(args)
	if err != nil {
		return nil, err
	}
	if cancel {
		return func(s *maintenancepb.Schedule) (*maintenancepb.Schedule, error) {
			for i, id := range machines {
				if !slices.ContainsFunc(s.GetWindows(), func(w *maintenancepb.Window) bool { return hasMachine(w.GetMachineIds(), id) }) {
					return nil, fmt.Errorf("machine %s is not in the schedule; 'stoa maintenance schedule' shows those that are, by the names to cancel them by", args[i])
				}
			}
			return without(s, machines), nil
		}, nil
	}
	at, err := parseStart(start, time.Now())
	if err != nil {
		return nil, err
	}
	window := &maintenancepb.Window{MachineIds: machines, Unavailability: &mesos.Unavailability{Start: &mesos.TimeInfo{Nanoseconds: proto.Int64(at.UnixNano())}}}
	if length > 0 {
		window.Unavailability.Duration = &mesos.DurationInfo{Nanoseconds: proto.Int64(length.Nanoseconds())}
	}
	return func(s *maintenancepb.Schedule) (*maintenancepb.Schedule, error) {
		s = without(s, machines)
		s.Windows = append(s.Windows, window)
		return s, nil
	}, nil
}

// without is a schedule without some machines.
func without(schedule *maintenancepb.Schedule, machines []*mesos.MachineID) *maintenancepb.Schedule {
	rest := &maintenancepb.Schedule{}
	for _, w := range schedule.GetWindows() {
		kept := &maintenancepb.Window{Unavailability: w.GetUnavailability()}
		for _, id := range w.GetMachineIds() {
			if !hasMachine(machines, id) {
				kept.MachineIds = append(kept.MachineIds, id)
			}
		}
		if len(kept.MachineIds) > 0 {
			rest.Windows = append(rest.Windows, kept)
		}
	}
	return rest
}

func hasMachine(machines []*mesos.MachineID, id *mesos.MachineID) bool {
	return slices.ContainsFunc(machines, func(other *mesos.MachineID) bool { return proto.Equal(id, other) })
}

func parseStart(text string, now time.Time) (time.Time, error) {
	if wait, err := time.ParseDuration(text); err == nil && wait >= 0 {
		return now.Add(wait), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, usageError("--start %q: it must be a time like 2026-12-01T22:00:00Z, or how long from now, like 30m", text)
	}
	return at, nil
}

// parseMachines reads hostnames, addresses, and both with a slash between them.
func parseMachines(args []string) ([]*mesos.MachineID, error) {
	var ids []*mesos.MachineID
	for _, arg := range args {
		host, ip, both := strings.Cut(arg, "/")
		if _, err := netip.ParseAddr(arg); err == nil {
			host, ip = "", arg
		} else if both && host == "" || arg == "" {
			return nil, usageError("machine %q: it must be a hostname, an address, or HOSTNAME/ADDRESS", arg)
		}
		id := &mesos.MachineID{}
		if host != "" {
			id.Hostname = proto.String(strings.ToLower(host))
		}
		if ip != "" {
			id.Ip = proto.String(ip)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

func (f *operatorFlags) showSchedule(ctx context.Context, std stdio) error {
	answers, err := f.ask(ctx, masterpb.Call_GET_MAINTENANCE_SCHEDULE, masterpb.Call_GET_MAINTENANCE_STATUS)
	if err != nil {
		return err
	}
	return f.printSchedule(std, answers[0], answers[1])
}

func (f *operatorFlags) printSchedule(std stdio, schedule, status *masterpb.Response) error {
	machines := scheduledMachines(schedule.GetGetMaintenanceSchedule().GetSchedule(), status.GetGetMaintenanceStatus().GetStatus())
	if f.json {
		return printJSON(std.out, machines)
	}
	var rows [][]string
	for _, m := range machines {
		rows = append(rows, []string{m.name(), m.Start, m.length()})
	}
	return table(std.out, []string{"MACHINE", "FROM", "FOR"}, rows)
}

// reschedule changes the schedule that the master has, and shows what it has then.
func (f *operatorFlags) reschedule(ctx context.Context, std stdio, change scheduleEdit) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	master, err := f.dial(ctx)
	if err != nil {
		return err
	}
	defer master.Close()
	schedule, err := getMaintenance(ctx, master, masterpb.Call_GET_MAINTENANCE_SCHEDULE)
	if err != nil {
		return err
	}
	changed, err := change(schedule.GetGetMaintenanceSchedule().GetSchedule())
	if err != nil {
		return err
	}
	update := &masterpb.Call_UpdateMaintenanceSchedule{Schedule: changed}
	if _, err := master.Call(ctx, &masterpb.Call{Type: masterpb.Call_UPDATE_MAINTENANCE_SCHEDULE.Enum(), UpdateMaintenanceSchedule: update}); err != nil {
		return err
	}
	if schedule, err = getMaintenance(ctx, master, masterpb.Call_GET_MAINTENANCE_SCHEDULE); err != nil {
		return err
	}
	status, err := getMaintenance(ctx, master, masterpb.Call_GET_MAINTENANCE_STATUS)
	if err != nil {
		return err
	}
	return f.printSchedule(std, schedule, status)
}

func getMaintenance(ctx context.Context, master *client.Client, kind masterpb.Call_Type) (*masterpb.Response, error) {
	return master.Call(ctx, &masterpb.Call{Type: kind.Enum()})
}

func newMaintenanceStart(std stdio) *cobra.Command {
	return maintenanceChange(std, "start", "Take scheduled machines down: their slaves end", "  stoa maintenance start node17 node18", "Down: %s.",
		func(machines []*mesos.MachineID) *masterpb.Call {
			return &masterpb.Call{Type: masterpb.Call_START_MAINTENANCE.Enum(), StartMaintenance: &masterpb.Call_StartMaintenance{Machines: machines}}
		})
}

func newMaintenanceStop(std stdio) *cobra.Command {
	return maintenanceChange(std, "stop", "Let machines that are down come back", "  stoa maintenance stop node17", "Up: %s.",
		func(machines []*mesos.MachineID) *masterpb.Call {
			return &masterpb.Call{Type: masterpb.Call_STOP_MAINTENANCE.Enum(), StopMaintenance: &masterpb.Call_StopMaintenance{Machines: machines}}
		})
}

func maintenanceChange(std stdio, verb, short, example, done string, call func([]*mesos.MachineID) *masterpb.Call) *cobra.Command {
	var flags operatorFlags
	command := &cobra.Command{
		Use:     verb + " MACHINE...",
		Short:   short,
		Long:    short + ". MACHINE is written as in the schedule: a hostname, an address, or both as HOSTNAME/ADDRESS.",
		Example: example,
		RunE: func(command *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError("maintenance %s needs the machines", verb)
			}
			machines, err := parseMachines(args)
			if err != nil {
				return err
			}
			view := struct {
				Machines []string `json:"machines"`
			}{args}
			return flags.change(command.Context(), std, call(machines), view, done, strings.Join(args, ", "))
		},
	}
	flags.add(command.Flags())
	return withSettings(command)
}
