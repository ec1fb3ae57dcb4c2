package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stoa-project/stoa/proto/mesos/masterpb"
	"github.com/stoa-project/stoa/proto/resource"
)

func newVolume(std stdio) *cobra.Command {
	return group("volume", "Persistent volumes: what tasks write there stays", groupLook, newVolumeList(std), newVolumeCreate(std), newVolumeDestroy(std))
}

// volume is a persistent volume as --json shows it.
type volume struct {
	ID            string  `json:"id"`
	Role          string  `json:"role"`
	SlaveID       string  `json:"slave_id"`
	Hostname      string  `json:"hostname"`
	MB            float64 `json:"disk"`
	ContainerPath string  `json:"container_path"`
	Shared        bool    `json:"shared"`
	Users         int     `json:"users"`
}

// volumesOf lists the persistent volumes of a slave.
func volumesOf(a *masterpb.Response_GetAgents_Agent) ([]volume, error) {
	total, err := resource.FromProto(a.GetTotalResources())
	if err != nil {
		return nil, err
	}
	allocated, err := resource.FromProto(a.GetAllocatedResources())
	if err != nil {
		return nil, err
	}
	var all []volume
	for v := range total.Volumes().All() {
		users := 0
		for used := range allocated.Volume(v.Role(), v.VolumeID()).All() {
			users += used.Copies()
		}
		all = append(all, volume{
			ID: v.VolumeID(), Role: v.Role(), SlaveID: a.GetAgentInfo().GetId().GetValue(), Hostname: a.GetAgentInfo().GetHostname(),
			MB: resource.Float(v.Thousandths()), ContainerPath: v.Disk().GetVolume().GetContainerPath(), Shared: v.Shared(), Users: users,
		})
	}
	return all, nil
}

func newVolumeList(std stdio) *cobra.Command {
	var flags operatorFlags
	command := &cobra.Command{
		Use:   "list",
		Short: "List the persistent volumes of all slaves",
		Long: `Lists the persistent volumes of all slaves that are connected. Volumes and reservations last as long as the
slave's process: one that is started again has its resources as they were at first.`,
		Example: `  stoa volume list
  stoa volume list --json`,
		Args: noArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			answers, err := flags.ask(command.Context(), masterpb.Call_GET_AGENTS)
			if err != nil {
				return err
			}
			var volumes []volume
			var rows [][]string
			for _, a := range answers[0].GetGetAgents().GetAgents() {
				own, err := volumesOf(a)
				if err != nil {
					return fmt.Errorf("slave %s: %w", a.GetAgentInfo().GetId().GetValue(), err)
				}
				for _, v := range own {
					volumes = append(volumes, v)
					rows = append(rows, []string{
						v.ID, v.Role, v.SlaveID, v.Hostname, resource.FormatThousandths(resource.Thousandths(v.MB)), v.ContainerPath, yesNo(v.Shared), fmt.Sprint(v.Users),
					})
				}
			}
			if flags.json {
				return printJSON(std.out, volumes)
			}
			if err := table(std.out, []string{"ID", "ROLE", "SLAVE", "HOSTNAME", "DISK (MB)", "PATH", "SHARED", "USERS"}, rows); err != nil || len(rows) == 0 {
				return err
			}
			_, err = fmt.Fprintln(std.out, "\nVolumes last as long as the slave's process.")
			return err
		},
	}
	flags.add(command.Flags())
	return withSettings(command)
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

func newVolumeCreate(std stdio) *cobra.Command {
	var flags operatorFlags
	var role, path, principal string
	var size float64
	var shared bool
	command := &cobra.Command{
		Use:   "create SLAVE ID --role ROLE --size MB",
		Short: "Make a persistent volume of a slave's reserved disk",
		Long: `Makes a persistent volume of disk that is reserved for a role, with a directory of its own on the slave. Tasks of
the role that use it see it at their own path, or at --path. It stays when they have ended.`,
		Example: `  stoa reserve node1.example.org disk:500 --role db
  stoa volume create node1.example.org data --role db --size 500 --path /var/lib/data`,
		Args: twoArgs("slave", "id"),
		RunE: func(command *cobra.Command, args []string) error {
			if !(size > 0) {
				return usageError("--size %v: it must be a number of MB above 0", size)
			}
			need, err := parseOperands("disk:"+resource.FormatThousandths(resource.Thousandths(size)), role)
			if err != nil {
				return err
			}
			return flags.convert(command.Context(), std, args[0], func(slave *operand) (*masterpb.Call, converted, error) {
				own := slave.reserved(role).Named(resource.Disk)
				for r := range own.All() {
					if disk, ok := resource.Of(r).Take(need); ok {
						made := resource.NewVolume(disk, args[1], principal, path, shared).ToProto()
						return &masterpb.Call{Type: masterpb.Call_CREATE_VOLUMES.Enum(), CreateVolumes: &masterpb.Call_CreateVolumes{
							AgentId: slave.id, Volumes: made,
						}}, converted{slave.id.GetValue(), role, newAmounts(made)}, nil
					}
				}
				return nil, converted{}, fmt.Errorf("slave %s has %s reserved for role %q in one piece, not %v: reserve it first by 'stoa reserve %s %v --role %s'",
					args[0], orNone(own), role, need, args[0], need, role)
			}, "Accepted: slave %[3]s makes persistent volume %[1]s of %[2]v MB for role %[4]s.", args[1], size, args[0], role)
		},
	}
	flags.add(command.Flags())
	command.Flags().StringVar(&role, "role", "", "`ROLE` whose reserved disk it is made of")
	command.Flags().Float64Var(&size, "size", 0, "size in `MB`")
	command.Flags().StringVar(&path, "path", "volume", "`PATH` where a task sees it that does not say otherwise: absolute, or in its sandbox")
	command.Flags().StringVar(&principal, "principal", "", "`NAME` of who makes it; it is kept with the volume")
	command.Flags().BoolVar(&shared, "shared", false, "several tasks may use it at the same time")
	return withSettings(command)
}

func newVolumeDestroy(std stdio) *cobra.Command {
	var flags operatorFlags
	var role string
	command := &cobra.Command{
		Use:   "destroy SLAVE ID",
		Short: "Delete a persistent volume with all that is in it",
		Long: `Deletes a persistent volume with all that is in it. Its disk stays reserved for its role. One that a task uses
cannot be destroyed.`,
		Example: `  stoa volume destroy node1.example.org data
  stoa volume destroy node1.example.org data --role db`,
		Args: twoArgs("slave", "id"),
		RunE: func(command *cobra.Command, args []string) error {
			return flags.convert(command.Context(), std, args[0], func(slave *operand) (*masterpb.Call, converted, error) {
				found := slave.total.Volumes().Filter(func(r resource.Resource) bool {
					return r.VolumeID() == args[1] && (role == "" || r.Role() == role)
				})
				var roles []string
				for r := range found.All() {
					roles = append(roles, r.Role())
				}
				switch {
				case len(roles) == 0:
					return nil, converted{}, fmt.Errorf("slave %s has no persistent volume %q%s; 'stoa volume list' shows them", args[0], args[1], ofRole(role))
				case len(roles) > 1:
					return nil, converted{}, fmt.Errorf("slave %s has persistent volumes %q of %d roles: give one of %s by --role", args[0], args[1], len(roles), strings.Join(roles, ", "))
				}
				gone := found.ToProto()
				return &masterpb.Call{Type: masterpb.Call_DESTROY_VOLUMES.Enum(), DestroyVolumes: &masterpb.Call_DestroyVolumes{
					AgentId: slave.id, Volumes: gone,
				}}, converted{slave.id.GetValue(), roles[0], newAmounts(gone)}, nil
			}, "Accepted: slave %[2]s destroys persistent volume %[1]s.", args[1], args[0])
		},
	}
	flags.add(command.Flags())
	command.Flags().StringVar(&role, "role", "", "`ROLE` of the volume, where several have one of this id")
	return withSettings(command)
}

func ofRole(role string) string {
	if role == "" {
		return ""
	}
	return fmt.Sprintf(" of role %q", role)
}
